use std::time::Duration;

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Client, Error, PromptId,
    history::History,
    progress::{Followed, Follower, Saved, Segment},
    socket::Socket,
};

/// Between two tries to connect: at first, and at most.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Between two looks at a prompt that shall stop. It stops at its next step or node.
const STOP_POLL: Duration = Duration::from_millis(250);
/// A prompt counts as gone when it was not seen so many times running: a POST may still be on its way in.
const GONE_AFTER: u32 = 2;

/// The engine, as a whole: its HTTP side and the socket we keep open to it.
#[derive(Debug)]
pub struct Engine {
    client: Client,
    state: watch::Sender<State>,
    followed: Followed,
}

/// Can it work?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not connected: not started yet, restarting, or gone.
    Down {
        /// Why.
        why: String,
    },
    /// Connected.
    Up(Connection),
    /// Connected, but it can't generate before it has been restarted.
    Broken {
        /// Why.
        why: String,
    },
}

/// One connection to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub(super) client_id: String,
    /// When it was made.
    pub(super) since: Instant,
}

/// What is known of a prompt.
#[derive(Debug)]
pub(super) enum Whereabouts {
    Finished(History),
    Running,
    Pending,
    /// The engine does not know it (any more).
    Nowhere,
}

impl Engine {
    /// The engine behind `client`. It is [`State::Down`] until [`Engine::keep_connected`] runs.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let (state, _) = watch::channel(State::Down { why: "not connected yet".into() });
        Self { client, state, followed: Followed::default() }
    }

    /// Its HTTP side.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Follow how it is.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Keeps a socket open, for ever.
    pub async fn keep_connected(&self) {
        let mut pause = RECONNECT.0;
        loop {
            let why = match Socket::connect(self.client.base()).await {
                Ok(socket) => {
                    pause = RECONNECT.0;
                    let client_id = socket.client_id.clone();
                    tracing::info!(engine = %self.client.base(), "connected to the engine");
                    self.state.send_replace(State::Up(Connection { client_id, since: Instant::now() }));
                    let why = socket.read(&self.followed).await;
                    tracing::warn!(engine = %self.client.base(), why, "lost the connection to the engine");
                    why
                }
                Err(why) => why,
            };
            self.state.send_if_modified(|state| {
                let down = State::Down { why };
                let changed = *state != down;
                *state = down;
                changed
            });
            sleep(pause).await;
            pause = (pause * 2).min(RECONNECT.1);
        }
    }

    /// Its process is beyond repair; stands until it is connected to anew.
    pub(super) fn broken(&self, why: &str) {
        tracing::error!(why, "the engine needs a restart");
        self.state.send_replace(State::Broken { why: why.to_owned() });
    }

    pub(super) fn follow(&self, id: &PromptId, segments: &[Segment]) -> Follower {
        self.followed.follow(id, segments)
    }

    /// Notes that a prompt was seen running, where the socket did not tell.
    pub(super) fn seen_running(&self, id: &PromptId) {
        self.followed.seen_running(id, Instant::now());
    }

    pub(super) async fn whereabouts(&self, id: &PromptId) -> Result<Whereabouts, Error> {
        if let Some(history) = self.client.history(id).await? {
            return Ok(Whereabouts::Finished(history));
        }
        let queue = self.client.queue().await?;
        if queue.running.contains(id) {
            return Ok(Whereabouts::Running);
        }
        if queue.pending.contains(id) {
            return Ok(Whereabouts::Pending);
        }
        // It may have finished between the two looks.
        Ok(self.client.history(id).await?.map_or(Whereabouts::Nowhere, Whereabouts::Finished))
    }

    /// The content of a latent it has saved.
    ///
    /// # Errors
    /// When it does not give it out.
    pub async fn latent(&self, saved: &Saved) -> Result<Bytes, Error> {
        self.client.view(&saved.file).await
    }

    /// Gives it a latent to go on from; returns the name by which a graph can load it.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn lend(&self, name: &str, latent: Bytes) -> Result<String, Error> {
        self.client.upload(name, latent).await
    }

    /// Takes a prompt out of the engine that nobody waits for any more. One that won't let go of it within `patience`
    /// hangs: every later prompt would wait behind it for ever, so it is [`State::Broken`] then.
    pub async fn be_rid_of(&self, id: &PromptId, patience: Duration) {
        if !self.cancel(id, patience).await {
            self.broken(&format!("prompt {id} could not be stopped within {}s", patience.as_secs()));
        }
    }

    /// Takes a prompt out of the engine, whatever its state, and waits until it is out. An engine that can't be
    /// reached has nothing to stop; one that does not obey is waited for as long as `patience`.
    ///
    /// Returns whether it is out.
    pub(super) async fn cancel(&self, id: &PromptId, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut unseen = 0;
        while unseen < GONE_AFTER {
            let asked = match self.whereabouts(id).await {
                Ok(Whereabouts::Finished(_)) => return true,
                Ok(Whereabouts::Running) => self.client.interrupt(id).await,
                Ok(Whereabouts::Pending) => self.client.delete(id).await,
                Ok(Whereabouts::Nowhere) => {
                    unseen += 1;
                    Ok(())
                }
                Err(Error::NotSent { .. }) => return true,
                Err(error) => Err(error),
            };
            if let Err(error) = asked {
                tracing::debug!(%error, prompt = %id, "can't stop a prompt yet");
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(STOP_POLL).await;
        }
        true
    }
}
