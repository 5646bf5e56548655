use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    Engine, Error, Failure, Kind, Output, Progress, PromptId, Refusal, Segment, State,
    engine::{Connection, Whereabouts},
    history::{Ended, History},
    outline::Outline,
    progress::{Follower, Phase},
};

/// The socket tells of everything, as a rule; this finds what it did not.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// While the socket is down, or after a request failed.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// So many looks in a row without an answer while the socket is down, and the engine is taken for dead.
const DEAD_AFTER: u32 = 3;
/// So many answers in a row that say nothing of how a prompt ended, and it will never be known.
const UNREADABLE_AFTER: u32 = 5;
/// A socket that broke is back by then; an engine that is not shall not keep a task waiting.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// A prompt that waits behind others for longer is better off elsewhere.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);
/// An engine with nothing else to do begins at once, unless what runs its prompts has died.
const BEGIN_IDLE_WITHIN: Duration = Duration::from_secs(10);
/// How a prompt ended is known at once as a rule.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
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
    /// The nodes whose outputs are kept, the most important first; none: all that save a file.
    pub outputs: Vec<String>,
    /// Longest time from start to end of its execution.
    pub timeout: Duration,
}

/// What the engine made.
#[derive(Debug)]
pub struct Generated {
    /// What is kept, the most important first; at least one.
    pub outputs: Vec<Output>,
    /// Engine time.
    pub engine_ms: u64,
    /// Of it, until the first sampling step, and after the last; 0 where no steps were told.
    pub load_ms: u64,
    /// See `load_ms`.
    pub decode_ms: u64,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The engine does not run this graph.
    #[error("{}", .0.words)]
    Refused(Refusal),
    /// It answers, but fails over this graph before it can be queued.
    #[error("the engine did not take the workflow: {0}")]
    NotTaken(String),
    /// The GPU's memory did not suffice.
    #[error("{}", .0.words())]
    OutOfMemory(Failure),
    /// A node raised an exception, and the engine works.
    #[error("{}", .0.words())]
    Failed(Failure),
    /// It ran and left no file.
    #[error("the workflow ran, and no node that was asked for left a file")]
    NothingMade,
    /// It ran for longer than it may; it may still run.
    #[error("not done after {}s", .0.as_secs())]
    TimedOut(Duration),
    /// It ended, and the engine does not say how in a way that can be read.
    #[error("what became of it can't be read: {0}")]
    Unreadable(String),
    /// It waited in the engine and was not begun.
    #[error("the engine did not begin with it within {}s", .0.as_secs())]
    NotBegun(Duration),
    /// The engine works but does not know the prompt: somebody else removed or interrupted it.
    #[error("the engine lost the prompt: {0}")]
    Lost(&'static str),
    /// The engine is gone, or has been restarted.
    #[error("the engine is gone: {0}")]
    Died(String),
    /// The engine's process or its GPU can't work any more, and would have failed any other picture.
    #[error("the engine needs a restart: {0}")]
    Unhealthy(String),
    /// The engine's disk is full or broken.
    #[error("the engine's disk is full or broken: {0}")]
    DiskFull(String),
}

impl Engine {
    /// Runs a graph to its end. `on_progress` hears of every change. Whatever comes of it, and when dropped in
    /// between, the prompt has to be [cleaned up](Engine::clean_up).
    ///
    /// # Errors
    /// [`Trouble`] says what is wrong.
    pub async fn generate(
        &self,
        prompt: &Prompt,
        mut on_progress: impl FnMut(&Progress) + Send,
    ) -> Result<Generated, Trouble> {
        let connection = self.connection().await?;
        let mut follower = self.follow(&prompt.id, Outline::new(&prompt.graph, &prompt.segments));
        self.submit(prompt, &connection).await?;
        let history = self.end_of(prompt, &connection, &mut follower, &mut on_progress).await?;
        match history.ended() {
            Ended::Succeeded => {}
            Ended::Interrupted => return Err(Trouble::Lost("somebody interrupted it")),
            Ended::Failed(failure) => return Err(self.examine(failure).await),
        }
        let started = follower.progress.borrow().started.unwrap_or(connection.since);
        let measured = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let engine_ms = history.engine_ms().unwrap_or(measured);
        let outputs = history.outputs(&prompt.outputs);
        if outputs.is_empty() {
            return Err(Trouble::NothingMade);
        }
        let (load_ms, decode_ms) =
            follower.progress.borrow().around_sampling(started + Duration::from_millis(engine_ms));
        Ok(Generated { outputs, engine_ms, load_ms, decode_ms })
    }

    async fn connection(&self) -> Result<Connection, Trouble> {
        let mut state = self.state();
        let back = state.wait_for(|state| !matches!(state, State::Down { .. }));
        // Whether it came back or not: what counts is how it is now.
        let _ = timeout(BACK_WITHIN, back).await;
        match &*self.state().borrow() {
            State::Up(connection) => Ok(connection.clone()),
            State::Unhealthy { why } => Err(Trouble::Unhealthy(why.clone())),
            State::Down { why } | State::Unsupported { why } => Err(Trouble::Died(why.clone())),
        }
    }

    /// The same id posted twice runs twice, and a POST that failed may have been taken: look before each retry.
    async fn submit(&self, prompt: &Prompt, connection: &Connection) -> Result<(), Trouble> {
        let mut tries_left = SUBMITS;
        loop {
            let submitted =
                self.client().submit(&prompt.id, &prompt.graph, &connection.client_id, self.mark()).await;
            let error = match submitted {
                Ok(()) => return Ok(()),
                // A part of the graph may be valid and run for nothing: cleaning up stops it.
                Err(Error::Refused(refusal)) => return Err(Trouble::Refused(refusal)),
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
                return Err(match error.is_answer() {
                    true => Trouble::NotTaken(error.to_string()),
                    false => Trouble::Died(error.to_string()),
                });
            }
        }
    }

    /// Waits until a prompt has ended, by its own account or by the engine's silence, at most as long as each phase of
    /// its life may take.
    async fn end_of(
        &self,
        prompt: &Prompt,
        connection: &Connection,
        follower: &mut Follower,
        on_progress: &mut (impl FnMut(&Progress) + Send),
    ) -> Result<History, Trouble> {
        let mut state = self.state();
        let mut looks = Looks::new(prompt.timeout);
        loop {
            let progress = follower.progress.borrow_and_update().clone();
            on_progress(&progress);
            let look = if self.is_on(connection) && !looks.failed() { LOOK_EVERY } else { LOOK_AGAIN };
            if progress.phase == Phase::Ended {
                if looks.are_over(&progress) {
                    return Err(looks.overdue(&progress));
                }
            } else {
                tokio::select! {
                    _ = follower.progress.changed() => continue,
                    _ = state.changed() => {}
                    () = sleep(look) => {}
                    () = sleep_until(looks.deadline(&progress)) => return Err(looks.overdue(&progress)),
                }
            }
            let seen = self.whereabouts(&prompt.id).await;
            looks.note(&seen);
            match seen {
                Ok(Whereabouts::Finished(history)) => {
                    follower.end();
                    on_progress(&follower.progress.borrow_and_update());
                    return Ok(*history);
                }
                Ok(Whereabouts::Unreadable(_)) => follower.end(),
                Ok(Whereabouts::Running) => follower.run(),
                Ok(Whereabouts::Pending { .. }) if looks.idled() => {
                    let why = "it has prompts in its queue and runs none of them";
                    self.mark_unhealthy(why);
                    return Err(Trouble::Unhealthy(why.to_owned()));
                }
                Ok(Whereabouts::Pending { .. }) => {}
                Ok(Whereabouts::Nowhere) if self.is_on(connection) => {
                    return Err(Trouble::Lost("it is neither in the queue nor in the history"));
                }
                Ok(Whereabouts::Nowhere) => return Err(Trouble::Died("it was restarted".into())),
                Err(error) if looks.unanswered >= DEAD_AFTER && !self.is_on(connection) => {
                    return Err(Trouble::Died(error.to_string()));
                }
                Err(_) => {}
            }
            if looks.failed() || progress.phase == Phase::Ended {
                sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Is the connection that a prompt was posted on still the one we have?
    fn is_on(&self, connection: &Connection) -> bool {
        matches!(&*self.state().borrow(), State::Up(now) if now == connection)
    }

    /// Whose fault is it? What an exception's words hint at, the engine itself has to confirm.
    async fn examine(&self, failure: Failure) -> Trouble {
        match failure.kind() {
            Kind::OutOfMemory => Trouble::OutOfMemory(failure),
            Kind::GpuFault => match self.inspect_gpu().await {
                Ok(()) => Trouble::Failed(failure),
                Err(_) => {
                    self.mark_unhealthy(&failure.words());
                    Trouble::Unhealthy(failure.words())
                }
            },
            Kind::DiskFault => match self.inspect_disk().await {
                Ok(()) => Trouble::Failed(failure),
                Err(_) => Trouble::DiskFull(failure.words()),
            },
            Kind::Network | Kind::Other => Trouble::Failed(failure),
        }
    }
}

/// What looking for a prompt has come to, and how long it goes on.
struct Looks {
    submitted: Instant,
    timeout: Duration,
    /// In a row.
    unanswered: u32,
    /// Answers in a row that could not be read, and the last of them.
    unreadable: u32,
    last_error: Option<String>,
    /// Since when the engine runs nothing though the prompt waits.
    idle_since: Option<Instant>,
}

impl Looks {
    fn new(timeout: Duration) -> Self {
        let submitted = Instant::now();
        Self { submitted, timeout, unanswered: 0, unreadable: 0, last_error: None, idle_since: None }
    }

    fn note(&mut self, seen: &Result<Whereabouts, Error>) {
        let idles = matches!(seen, Ok(Whereabouts::Pending { engine_idles: true }));
        self.idle_since = if idles { self.idle_since.or_else(|| Some(Instant::now())) } else { None };
        let (error, is_answer) = match seen {
            Ok(Whereabouts::Unreadable(error)) => (error, true),
            Ok(_) => {
                (self.unanswered, self.unreadable, self.last_error) = (0, 0, None);
                return;
            }
            Err(error) => (error, error.is_answer()),
        };
        let (counted, other) = match is_answer {
            true => (&mut self.unreadable, &mut self.unanswered),
            false => (&mut self.unanswered, &mut self.unreadable),
        };
        (*counted, *other) = (*counted + 1, 0);
        self.last_error = Some(error.to_string());
    }

    fn failed(&self) -> bool {
        self.last_error.is_some()
    }

    fn idled(&self) -> bool {
        self.idle_since.is_some_and(|since| since.elapsed() >= BEGIN_IDLE_WITHIN)
    }

    fn deadline(&self, progress: &Progress) -> Instant {
        match (progress.phase, progress.started, progress.ended) {
            (Phase::Ended, _, Some(ended)) => ended + SETTLED_WITHIN,
            (Phase::Running | Phase::Ended, Some(started), _) => started + self.timeout,
            // It may have begun without our seeing it.
            _ if self.failed() => self.submitted + BEGIN_WITHIN.max(self.timeout),
            _ => self.submitted + BEGIN_WITHIN,
        }
    }

    /// Of a prompt that has ended.
    fn are_over(&self, progress: &Progress) -> bool {
        self.unreadable >= UNREADABLE_AFTER || Instant::now() >= self.deadline(progress)
    }

    fn overdue(&self, progress: &Progress) -> Trouble {
        match progress.phase {
            Phase::Queued => Trouble::NotBegun(self.submitted.elapsed()),
            Phase::Running => Trouble::TimedOut(self.timeout),
            Phase::Ended => {
                let silent = || "the engine says nothing of it".to_owned();
                Trouble::Unreadable(self.last_error.clone().unwrap_or_else(silent))
            }
        }
    }
}
