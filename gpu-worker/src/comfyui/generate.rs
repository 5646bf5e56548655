use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    Engine, Error, Failure, Kind, Progress, PromptId, Segment, State,
    engine::{Connection, Whereabouts},
    history::{Ended, History},
    progress::{Follower, Phase},
};

/// The socket tells of everything, as a rule; this finds what it did not.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// While the socket is down, or after a request failed.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// So many looks in a row without an answer while the socket is down, and the engine is taken for dead.
const DEAD_AFTER: u32 = 3;
/// A socket that broke is back by then; an engine that is not shall not keep a task waiting.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// A POST that did not get through is tried so often.
const SUBMITS: u32 = 3;

/// A graph to run.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Its name in the engine.
    pub id: PromptId,
    /// node id → {class_type, inputs}
    pub graph: Map<String, Value>,
    /// The parts its sampling is cut into, in their order; none where that is not known.
    pub segments: Vec<Segment>,
    /// Longest time from start to end of its execution.
    pub timeout: Duration,
}

/// What the engine made.
#[derive(Debug)]
pub struct Generated {
    /// In the order of the graph's nodes; at least one.
    pub outputs: Vec<Output>,
    /// Engine time.
    pub engine_ms: u64,
}

/// One file the engine made.
#[derive(Debug)]
pub struct Output {
    /// Its name in the engine.
    pub name: String,
    /// Its content.
    pub bytes: Bytes,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The engine will never run this graph.
    #[error("{0}")]
    Refused(String),
    /// It answers, but fails over this graph before it can be queued.
    #[error("the engine did not take the workflow: {0}")]
    NotTaken(String),
    /// The GPU's memory did not suffice.
    #[error("{}", .0.words())]
    OutOfMemory(Failure),
    /// A node raised an exception of its own making.
    #[error("{}", .0.words())]
    Failed(Failure),
    /// It ran and left no image.
    #[error("the workflow ran but made no image")]
    NothingMade,
    /// It ran for longer than it may; it may still run.
    #[error("not done after {}s", .0.as_secs())]
    TimedOut(Duration),
    /// The engine works but does not know the prompt: somebody else removed or interrupted it.
    #[error("the engine lost the prompt: {0}")]
    Lost(&'static str),
    /// The engine or its GPU failed, and would have failed any other picture.
    #[error("the engine failed: {0}")]
    Machine(String),
}

impl Engine {
    /// Runs a graph to its end. `on_progress` hears of every change. Dropped in between, it leaves the prompt in
    /// the engine: see [`Engine::cancel`].
    ///
    /// # Errors
    /// [`Trouble`] says whose fault it is.
    pub async fn generate(
        &self,
        prompt: &Prompt,
        mut on_progress: impl FnMut(&Progress) + Send,
    ) -> Result<Generated, Trouble> {
        let connection = self.connection().await?;
        let mut follower = self.follow(&prompt.id, &prompt.segments);
        self.submit(prompt, &connection).await?;
        let history = self.end_of(prompt, &connection, &mut follower, &mut on_progress).await?;
        match history.ended() {
            Ended::Well => {}
            Ended::Interrupted => return Err(Trouble::Lost("somebody interrupted it")),
            Ended::Failed(failure) => return Err(self.sorted(failure)),
        }
        let started = follower.progress.borrow().started.unwrap_or(connection.since);
        let measured = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let engine_ms = history.engine_ms().unwrap_or(measured);
        Ok(Generated { outputs: self.fetch(&history, &prompt.graph).await?, engine_ms })
    }

    /// Empties the GPU's memory before the next prompt.
    ///
    /// # Errors
    /// When the engine can't be reached.
    pub async fn free_memory(&self) -> Result<(), Trouble> {
        self.client().free().await.map_err(|error| Trouble::Machine(error.to_string()))
    }

    async fn connection(&self) -> Result<Connection, Trouble> {
        let mut state = self.state();
        let back = state.wait_for(|state| !matches!(state, State::Down { .. }));
        // Whether it came back or not: what counts is how it is now.
        let _ = timeout(BACK_WITHIN, back).await;
        match &*self.state().borrow() {
            State::Up(connection) => Ok(connection.clone()),
            State::Broken { why } | State::Down { why } => Err(Trouble::Machine(why.clone())),
        }
    }

    /// The same id posted twice runs twice, and a POST that failed may have been taken: look before each retry.
    async fn submit(&self, prompt: &Prompt, connection: &Connection) -> Result<(), Trouble> {
        let mut tries_left = SUBMITS;
        loop {
            let error = match self.client().submit(&prompt.id, &prompt.graph, &connection.client_id).await {
                Ok(()) => return Ok(()),
                Err(Error::Refused(words)) => {
                    // A part of the graph may be valid, and run for nothing.
                    self.cancel(&prompt.id, LOOK_EVERY).await;
                    return Err(Trouble::Refused(words));
                }
                Err(error) => error,
            };
            tracing::warn!(%error, prompt = %prompt.id, "can't tell whether the engine took a prompt; looking");
            sleep(LOOK_AGAIN).await;
            match self.whereabouts(&prompt.id).await {
                Ok(Whereabouts::Nowhere) | Err(_) => {}
                Ok(_) => return Ok(()),
            }
            tries_left -= 1;
            if tries_left == 0 {
                return Err(match error {
                    Error::Unexpected { .. } => Trouble::NotTaken(error.to_string()),
                    error => Trouble::Machine(error.to_string()),
                });
            }
        }
    }

    /// Waits until a prompt has ended, by its own account or by the engine's silence.
    async fn end_of(
        &self,
        prompt: &Prompt,
        connection: &Connection,
        follower: &mut Follower,
        on_progress: &mut (impl FnMut(&Progress) + Send),
    ) -> Result<History, Trouble> {
        let mut state = self.state();
        let submitted = Instant::now();
        let mut unanswered = 0;
        loop {
            let progress = follower.progress.borrow_and_update().clone();
            on_progress(&progress);
            // Behind somebody else's prompts it may wait as long again before it begins.
            let deadline = progress.started.unwrap_or(submitted) + prompt.timeout;
            let look = if self.is_on(connection) && unanswered == 0 { LOOK_EVERY } else { LOOK_AGAIN };
            if progress.phase != Phase::Ended {
                tokio::select! {
                    _ = follower.progress.changed() => continue,
                    _ = state.changed() => {}
                    () = sleep(look) => {}
                    () = sleep_until(deadline) => return Err(overdue(&progress, prompt.timeout)),
                }
            }
            match self.whereabouts(&prompt.id).await {
                Ok(Whereabouts::Finished(history)) => return Ok(history),
                Ok(Whereabouts::Running) => self.seen_running(&prompt.id),
                Ok(Whereabouts::Pending) => {}
                Ok(Whereabouts::Nowhere) if self.is_on(connection) => {
                    return Err(Trouble::Lost("it is neither in the queue nor in the history"));
                }
                Ok(Whereabouts::Nowhere) => return Err(Trouble::Machine("it was restarted".into())),
                Err(error) => {
                    unanswered += 1;
                    if unanswered >= DEAD_AFTER && !self.is_on(connection) {
                        return Err(Trouble::Machine(error.to_string()));
                    }
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
            }
            unanswered = 0;
            if progress.phase == Phase::Ended {
                sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Is the connection that a prompt was posted on still the one we have?
    fn is_on(&self, connection: &Connection) -> bool {
        matches!(&*self.state().borrow(), State::Up(now) if now == connection)
    }

    fn sorted(&self, failure: Failure) -> Trouble {
        match failure.kind() {
            Kind::OutOfMemory => Trouble::OutOfMemory(failure),
            Kind::Graph => Trouble::Failed(failure),
            Kind::MachineFault => {
                self.broken(&failure.words());
                Trouble::Machine(failure.words())
            }
        }
    }

    async fn fetch(&self, history: &History, graph: &Map<String, Value>) -> Result<Vec<Output>, Trouble> {
        let files = history.images(graph);
        let mut outputs = Vec::with_capacity(files.len());
        for file in files {
            let bytes =
                self.client().view(&file).await.map_err(|error| Trouble::Machine(error.to_string()))?;
            outputs.push(Output { name: file.filename, bytes });
        }
        if outputs.is_empty() { Err(Trouble::NothingMade) } else { Ok(outputs) }
    }
}

fn overdue(progress: &Progress, timeout: Duration) -> Trouble {
    match progress.phase {
        Phase::Queued => Trouble::Machine(format!("it did not begin within {}s", timeout.as_secs())),
        Phase::Running | Phase::Ended => Trouble::TimedOut(timeout),
    }
}
