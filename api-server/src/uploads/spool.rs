//! A file on its way into the bucket. Its key follows from what is in it, so it lies on the disk until all of it is there.

use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use store::{BadPiece, Content};
use tokio::{io::AsyncWriteExt as _, sync::mpsc, task::spawn_blocking};

use crate::{auth::to_hex, error::Error};

/// Pieces that are read ahead of the bucket.
const AHEAD: usize = 4;
const PIECE: usize = 64 << 10;

/// A file that is being received. It is gone with this value.
pub(super) struct Spool {
    file: tokio::fs::File,
    blake3: blake3::Hasher,
    sha256: Sha256,
    bytes: u64,
    most: u64,
}

/// A file that was received.
pub(super) struct Spooled {
    pub(super) content: Content,
    /// Its BLAKE3, in hexadecimal digits.
    pub(super) id: String,
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

impl Spool {
    pub(super) fn new(most: u64) -> Result<Self, Error> {
        let file = tempfile::tempfile().map_err(|error| no_room(&error))?;
        let (blake3, sha256) = (blake3::Hasher::new(), Sha256::new());
        Ok(Self { file: tokio::fs::File::from_std(file), blake3, sha256, bytes: 0, most })
    }

    pub(super) async fn add(&mut self, piece: Bytes) -> Result<(), Error> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.most {
            return Err(Error::TooLarge { most: usize::try_from(self.most).unwrap_or(usize::MAX) });
        }
        self.blake3.update(&piece);
        self.sha256.update(&piece);
        self.file.write_all(&piece).await.map_err(|error| no_room(&error))
    }

    pub(super) async fn close(mut self) -> Result<Spooled, Error> {
        if self.bytes == 0 {
            return Err(Error::invalid("", "the file is empty"));
        }
        self.file.flush().await.map_err(|error| no_room(&error))?;
        let (file, bytes) = (Arc::new(self.file.into_std().await), self.bytes);
        let content = Content::pieces(bytes, move || read(Arc::clone(&file)));
        let (id, sha256) = (self.blake3.finalize().to_hex().to_string(), to_hex(&self.sha256.finalize()));
        Ok(Spooled { content, id, sha256, bytes })
    }
}

/// The file's pieces, from its beginning.
fn read(file: Arc<File>) -> mpsc::Receiver<Result<Bytes, BadPiece>> {
    let (pieces, receiver) = mpsc::channel(AHEAD);
    spawn_blocking(move || {
        let mut at = 0;
        loop {
            let mut piece = BytesMut::zeroed(PIECE);
            let read = file.read_at(&mut piece, at);
            let sent = match read {
                Ok(0) => return,
                Ok(n) => {
                    at += n as u64;
                    piece.truncate(n);
                    pieces.blocking_send(Ok(piece.freeze()))
                }
                Err(error) => pieces.blocking_send(Err(error.into())),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    receiver
}

fn no_room(error: &io::Error) -> Error {
    Error::Internal(format!("a file can't be kept on the way to its bucket: {error}"))
}
