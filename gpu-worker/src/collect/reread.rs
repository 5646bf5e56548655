//! A file that is larger than the memory for files. It is read once to see what it is, and again for each try to store it:
//! the engine keeps it until its task is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use media::{Facts, Metadata, Reader};
use store::{BadPiece, Pieces};
use tokio::sync::mpsc;

use super::{Lost, Why, gone};
use crate::comfyui::{Engine, File, Output};

/// Pieces that wait to be sent. The engine sends some 256 KiB at once.
const AHEAD: usize = 2;

/// Such a file.
#[derive(Debug)]
pub(crate) struct Reread {
    engine: Arc<Engine>,
    output: Output,
    file: File,
    metadata: Metadata,
    sha256: [u8; 32],
    length: u64,
    /// Why the latest try to read it has failed.
    failed: Mutex<Option<Why>>,
}

impl Reread {
    /// `facts`: of the first time that it was read.
    pub(super) fn new(
        engine: &Arc<Engine>,
        output: &Output,
        file: &File,
        metadata: Metadata,
        facts: &Facts,
    ) -> Self {
        Self {
            engine: Arc::clone(engine),
            output: output.clone(),
            file: file.clone(),
            metadata,
            sha256: facts.sha256,
            length: facts.bytes,
            failed: Mutex::default(),
        }
    }

    /// The file, for the bucket.
    pub(crate) fn content(self: &Arc<Self>) -> store::Content {
        let this = Arc::clone(self);
        store::Content::pieces(self.length, move || this.open())
    }

    /// Why it could not be read, if that is what the latest try to store it has failed of.
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.failed().take().map(|why| Lost::new(&self.output, why))
    }

    fn failed(&self) -> MutexGuard<'_, Option<Why>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(self: &Arc<Self>) -> Pieces {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let this = Arc::clone(self);
        *this.failed() = None;
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {} // the try is over
                sent = this.send(&sender) => if let Err(why) = sent {
                    let told: BadPiece = why.to_string().into();
                    *this.failed() = Some(why);
                    // If nobody hears it, nobody waits for the file either.
                    let _ = sender.send(Err(told)).await;
                }
            }
        });
        pieces
    }

    /// The last piece goes out once it is sure that the file is the one that was looked at: without it nothing is stored.
    async fn send(&self, to: &mpsc::Sender<Result<Bytes, BadPiece>>) -> Result<(), Why> {
        let gone = |error| gone(&self.engine, error);
        let mut download = self.engine.open(&self.file).await.map_err(gone)?;
        let mut reader = Reader::new(self.metadata, &self.file.filename);
        let mut held = Vec::new();
        let mut fresh = Vec::new();
        while let Some(part) = download.next().await.map_err(gone)? {
            reader.push(&part, &mut fresh)?;
            if !fresh.is_empty() {
                forward(to, std::mem::replace(&mut held, std::mem::take(&mut fresh))).await;
            }
        }
        let facts = reader.finish(&mut fresh)?;
        if facts.sha256 != self.sha256 {
            return Err(Why::Changed);
        }
        forward(to, held).await;
        forward(to, fresh).await;
        Ok(())
    }
}

/// Where nobody takes it, the try is over, and so is this.
async fn forward(to: &mpsc::Sender<Result<Bytes, BadPiece>>, piece: Vec<u8>) {
    if !piece.is_empty() {
        let _ = to.send(Ok(piece.into())).await;
    }
}
