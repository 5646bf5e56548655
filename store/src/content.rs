use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// Why a piece of a file can't be had.
pub type BadPiece = Box<dyn std::error::Error + Send + Sync>;

/// The pieces of a file, in order. They end after the last one, or with an error.
pub type Pieces = mpsc::Receiver<Result<Bytes, BadPiece>>;

/// What a file is written from.
#[derive(Clone)]
pub struct Content {
    length: u64,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Memory(Bytes),
    Pieces(Open),
}

type Open = Arc<dyn Fn() -> Pieces + Send + Sync>;

impl Content {
    /// A file that is not held in memory: `open` opens it anew for each try to write it. If it does not have exactly
    /// `length` bytes, or ends with an error, nothing is written.
    pub fn pieces(length: u64, open: impl Fn() -> Pieces + Send + Sync + 'static) -> Self {
        Self { length, source: Source::Pieces(Arc::new(open)) }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn stream(&self) -> ByteStream {
        match &self.source {
            Source::Memory(bytes) => ByteStream::from(bytes.clone()),
            Source::Pieces(open) => {
                let (open, left) = (Arc::clone(open), self.length);
                let body = move || Streamed { open: Arc::clone(&open), pieces: None, left };
                ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(body())))
            }
        }
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self { length: bytes.len() as u64, source: Source::Memory(bytes) }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A body of known length, as S3 takes no other. The SDK makes several for one request and sends one of them, so a file is
/// opened when its first piece is asked for.
struct Streamed {
    open: Open,
    pieces: Option<Pieces>,
    left: u64,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BadPiece;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BadPiece>>> {
        let this = &mut *self;
        let pieces = this.pieces.get_or_insert_with(|| (this.open)());
        Poll::Ready(match ready!(pieces.poll_recv(context)) {
            Some(Ok(piece)) => match this.left.checked_sub(piece.len() as u64) {
                Some(left) => {
                    this.left = left;
                    Some(Ok(Frame::data(piece)))
                }
                None => Some(Err("the file is longer than it was".into())),
            },
            Some(Err(error)) => Some(Err(error)),
            None if this.left > 0 => Some(Err(format!("{} bytes of the file are missing", this.left).into())),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
