//! Gives messages to a reader, who may be slow, but not for ever.

use std::time::Duration;

use axum::extract::ws::Message;
use futures::{Sink, SinkExt as _};
use tokio::time::timeout;

/// A reader who takes nothing for so long is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the reader took it. Nothing is kept for a reader beyond the message that it is given.
pub(super) async fn deliver<S: Sink<Message> + Unpin>(reader: &mut S, message: Message) -> bool {
    matches!(timeout(PATIENCE, reader.send(message)).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use super::*;

    /// A reader who takes nothing.
    struct Asleep;

    impl Sink<Message> for Asleep {
        type Error = Infallible;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }

        fn start_send(self: Pin<&mut Self>, _: Message) -> Result<(), Infallible> {
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_takes_nothing_is_dropped() {
        assert!(!deliver(&mut Asleep, Message::Text("a".into())).await);
        let mut awake = futures::sink::drain();
        assert!(deliver(&mut awake, Message::Text("a".into())).await);
    }
}
