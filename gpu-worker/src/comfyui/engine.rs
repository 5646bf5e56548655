use std::{sync::Mutex, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    About, Client, Download, Error, Mark, PromptId,
    cleaning::Leftovers,
    history::{History, Queued},
    outline::Outline,
    outputs::File,
    progress::{Followed, Follower, Saved},
    socket::Socket,
};

/// Between two tries to connect: at first, and at most.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The folder that the engine empties when it starts.
const TEMP: &str = "temp";

/// The engine, as a whole: its HTTP side and the socket we keep open to it.
#[derive(Debug)]
pub struct Engine {
    client: Client,
    mark: Mark,
    state: watch::Sender<State>,
    followed: Followed,
    pub(super) leftovers: Mutex<Leftovers>,
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
    Unhealthy {
        /// Why.
        why: String,
    },
    /// Connected, but of a version that does not work here.
    Unsupported {
        /// Which, and what to do.
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
    Finished(Box<History>),
    /// It has ended, and what the engine says of it can't be read.
    Unreadable(Error),
    Running,
    /// Waiting, while the engine runs something else or not.
    Pending {
        engine_idles: bool,
    },
    /// The engine does not know it (any more).
    Nowhere,
}

impl State {
    /// What keeps it from working.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Up(_) => None,
            Self::Down { why } | Self::Unhealthy { why } | Self::Unsupported { why } => Some(why),
        }
    }
}

impl Engine {
    /// The engine behind `client`. It is [`State::Down`] until [`Engine::keep_connected`] runs. `mark` goes with each
    /// prompt.
    #[must_use]
    pub fn new(client: Client, mark: Mark) -> Self {
        let (state, _) = watch::channel(State::Down { why: "not connected yet".into() });
        Self { client, mark, state, followed: Followed::default(), leftovers: Mutex::default() }
    }

    /// Its HTTP side.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What our prompts carry.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        &self.mark
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
            let why = match self.connect().await {
                Ok((socket, state)) => {
                    pause = RECONNECT.0;
                    self.state.send_replace(state);
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

    async fn connect(&self) -> Result<(Socket, State), String> {
        let socket = Socket::connect(self.client.base()).await?;
        let about = match self.client.about().await {
            Ok(about) => about,
            // As from an engine whose GPU is lost.
            Err(error @ Error::Unexpected { status, .. }) if status.is_server_error() => {
                return Ok((socket, State::Unhealthy { why: error.to_string() }));
            }
            Err(error) if error.is_answer() => About::default(),
            Err(error) => return Err(error.to_string()),
        };
        let engine = self.client.base();
        tracing::info!(%engine, comfyui = about.comfyui(), pytorch = about.pytorch(), "connected to the engine");
        let state = match about.refusal() {
            None => State::Up(Connection { client_id: socket.client_id.clone(), since: Instant::now() }),
            Some(why) => {
                tracing::error!(%engine, why, "this engine can't be used");
                State::Unsupported { why }
            }
        };
        Ok((socket, state))
    }

    /// Its process needs a restart; stands until it is connected to anew.
    pub fn mark_unhealthy(&self, why: &str) {
        tracing::error!(why, "the engine needs a restart");
        self.state.send_replace(State::Unhealthy { why: why.to_owned() });
    }

    pub(super) fn follow(&self, id: &PromptId, outline: Outline) -> Follower {
        self.followed.follow(id, outline)
    }

    pub(super) async fn whereabouts(&self, id: &PromptId) -> Result<Whereabouts, Error> {
        if let Some(ended) = self.ended(id).await? {
            return Ok(ended);
        }
        let queue = self.client.queue().await?;
        let has = |entries: &[Queued]| entries.iter().any(|entry| entry.id == id.as_str());
        if has(&queue.running) {
            return Ok(Whereabouts::Running);
        }
        if has(&queue.pending) {
            return Ok(Whereabouts::Pending { engine_idles: queue.running.is_empty() });
        }
        // It may have finished between the two looks.
        Ok(self.ended(id).await?.unwrap_or(Whereabouts::Nowhere))
    }

    /// Of a prompt that has not ended history has no entry, so one that can't be read tells that it has.
    async fn ended(&self, id: &PromptId) -> Result<Option<Whereabouts>, Error> {
        match self.client.history(id).await {
            Ok(history) => Ok(history.map(|history| Whereabouts::Finished(Box::new(history)))),
            Err(error @ Error::Unreadable { .. }) => Ok(Some(Whereabouts::Unreadable(error))),
            Err(error) => Err(error),
        }
    }

    /// The content of a file that it has made.
    ///
    /// # Errors
    /// When it does not give it out.
    pub async fn open(&self, file: &File) -> Result<Download, Error> {
        self.client.view(file).await
    }

    /// The content of a latent that it has saved, at most so many bytes.
    ///
    /// # Errors
    /// When it does not give it out, or it is larger.
    pub async fn latent(&self, saved: &Saved, most: usize) -> Result<Bytes, Error> {
        let mut download = self.client.view(&saved.file).await?;
        let mut latent = Vec::new();
        while let Some(part) = download.next().await? {
            if latent.len() + part.len() > most {
                return Err(download.broken(format!("it is larger than {} MiB", most >> 20)));
            }
            latent.extend_from_slice(&part);
        }
        Ok(latent.into())
    }

    /// Gives it a file, such as a latent to go on from; returns the name by which a graph can load it.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn lend(&self, name: &str, content: Bytes) -> Result<String, Error> {
        let name = self.client.upload(&temporary(name), content).await?;
        Ok(format!("{name} [{TEMP}]"))
    }

    /// Does it have a file of this size that it was [lent](Self::lend)?
    pub async fn has(&self, name: &str, bytes: u64) -> bool {
        let file = self.client.view(&temporary(name)).await;
        file.is_ok_and(|download| download.length() == Some(bytes))
    }

    /// Takes a file back that was [lent](Self::lend).
    pub async fn take_back(&self, name: &str) {
        self.remove(&temporary(name)).await;
    }

    /// Empties the GPU's memory before the next prompt, and has the engine run all nodes of it.
    ///
    /// # Errors
    /// When the engine can't be reached.
    pub async fn free_memory(&self) -> Result<(), Error> {
        self.client.free().await
    }
}

/// A worker that is killed leaves what it had lent. ComfyUI has no public way to list the folder, and a name, a hash of the
/// content, does not say who lent it: a worker that lives and shares the engine may have lent the same file. So it stays
/// until the engine is restarted, which empties the folder, or a worker lends the same content and takes it back.
fn temporary(name: &str) -> File {
    File { filename: name.to_owned(), subfolder: String::new(), kind: TEMP.to_owned() }
}
