//! A socket, from its opening to its end: which prompts its client is told of, and when.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::extract::ws::{Message, WebSocket};
use jiff::Timestamp;
use queue::JobUid;
use serde_json::Value;
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use super::{
    super::{
        FRONT,
        frame::Frame,
        own_jobs::{self, Stage},
        system,
    },
    deliver::deliver,
    telling::Telling,
};
use crate::{
    app::App,
    auth::Caller,
    cache::{Change, Job, PoolKey},
    progress::InHand,
};

/// How often it is looked how far prompts are.
const LOOK: Duration = Duration::from_millis(250);
/// An end is told so much later: the client asks for the history at once, perhaps another replica, whose watch may be a
/// little behind ours.
const SETTLE: Duration = Duration::from_millis(250);
/// So that nobody takes the line for dead.
const PING: Duration = Duration::from_secs(20);

/// A socket's client, and what it was told.
pub(super) struct Session {
    app: App,
    caller: Caller,
    client_id: String,
    /// The second in which it connected.
    since: i64,
    /// The key's prompts that have not ended.
    remaining: HashSet<String>,
    /// How many of them the client knows of.
    told: usize,
    /// The client's own prompts that are not told to have ended.
    prompts: HashMap<String, Prompt>,
    /// Those that are.
    ended: HashSet<String>,
    /// What the workers of pools have in hand, of pools with prompts of the client.
    pools: HashMap<PoolKey, watch::Receiver<InHand>>,
}

struct Prompt {
    job: Arc<Job>,
    telling: Telling,
    /// When its end is told.
    ends: Option<Instant>,
}

impl Prompt {
    fn new(job: &Arc<Job>) -> Self {
        Self { job: Arc::clone(job), telling: Telling::default(), ends: None }
    }

    /// Takes the job as it is now.
    fn see(&mut self, job: Arc<Job>) {
        if own_jobs::stage(&job) == Stage::Ended {
            self.ends.get_or_insert_with(|| Instant::now() + SETTLE);
        }
        self.job = job;
    }

    /// The job is deleted.
    fn see_gone(&mut self) {
        self.ends.get_or_insert_with(Instant::now);
    }
}

impl Session {
    /// Serves a socket until its client leaves or reads no more, its key is revoked, or the server stops.
    pub(super) async fn run(app: App, caller: Caller, client_id: String, mut socket: WebSocket) {
        let open = app.metrics.streams.with_label_values(&[FRONT]);
        open.inc();
        let mut ended = pin!(app.ended(&caller));
        tokio::select! {
            () = Self::new(app.clone(), caller.clone(), client_id).serve(&mut socket) => {}
            () = &mut ended => {}
        }
        deliver(&mut socket, Message::Close(None)).await;
        open.dec();
    }

    fn new(app: App, caller: Caller, client_id: String) -> Self {
        Self {
            app,
            caller,
            client_id,
            since: Timestamp::now().as_second(),
            remaining: HashSet::new(),
            told: 0,
            prompts: HashMap::new(),
            ended: HashSet::new(),
            pools: HashMap::new(),
        }
    }

    async fn serve(mut self, socket: &mut WebSocket) {
        let mut changes = self.app.cache.jobs.follow_all(&self.caller.tenant);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pings = interval_at(Instant::now() + PING, PING);
        let mut frames = self.greet();
        loop {
            for frame in frames {
                if !deliver(socket, Message::Text(frame.text().into())).await {
                    return;
                }
            }
            frames = tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => self.see(change),
                    Err(RecvError::Lagged(_)) => self.see_all(),
                    Err(RecvError::Closed) => return,
                },
                _ = looks.tick(), if !self.prompts.is_empty() => self.look(Instant::now()),
                _ = pings.tick() => {
                    if !deliver(socket, Message::Ping(vec![].into())).await {
                        return;
                    }
                    vec![]
                }
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => answer(&text),
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => vec![],
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
            };
        }
    }

    fn greet(&mut self) -> Vec<Frame> {
        let more = self.see_all();
        let mut frames = vec![Frame::status(self.remaining.len(), Some(&self.client_id))];
        frames.extend(more.into_iter().filter(|frame| frame.kind != "status"));
        frames
    }

    /// Looks at all jobs anew: at first, and after changes were missed.
    fn see_all(&mut self) -> Vec<Frame> {
        let jobs = own_jobs::newest(&self.app, &self.caller, usize::MAX, |job| {
            own_jobs::stage(job) != Stage::Ended || self.has_missed(job)
        });
        self.remaining.clear();
        for prompt in self.prompts.values_mut() {
            let now = self.app.cache.jobs.get(&self.caller.tenant, &prompt.job.name);
            match now.filter(|job| job.uid == prompt.job.uid) {
                Some(job) => prompt.see(job),
                None => prompt.see_gone(),
            }
        }
        for job in jobs {
            self.note(job);
        }
        self.look(Instant::now())
    }

    /// Whether the client asked for a job that has ended, after it had connected, and was told nothing of it.
    fn has_missed(&self, job: &Job) -> bool {
        own_jobs::client_id(job) == Some(&self.client_id)
            && job.created_second() >= self.since
            && !self.ended.contains(&job.name)
    }

    fn see(&mut self, change: Change) -> Vec<Frame> {
        match change {
            Change::Is(job) if own_jobs::is_own(&self.caller, &job) => self.note(job),
            Change::Gone(job) if own_jobs::is_own(&self.caller, &job) => {
                self.remaining.remove(&job.name);
                self.ended.remove(&job.name);
                if let Some(prompt) = self.prompts.get_mut(&job.name) {
                    prompt.see_gone();
                }
            }
            Change::Is(_) | Change::Gone(_) => return vec![],
        }
        self.look(Instant::now())
    }

    fn note(&mut self, job: Arc<Job>) {
        let is_over = own_jobs::stage(&job) == Stage::Ended;
        let is_mine = own_jobs::client_id(&job) == Some(&self.client_id);
        let is_told = self.ended.contains(&job.name);
        if !is_over {
            self.remaining.insert(job.name.clone());
        } else if !self.prompts.contains_key(&job.name) && !self.has_missed(&job) {
            self.remaining.remove(&job.name);
            return;
        }
        if is_mine && !is_told {
            let prompt = self.prompts.entry(job.name.clone()).or_insert_with(|| Prompt::new(&job));
            prompt.see(job);
        }
    }

    /// What is new of the client's prompts, and of how many there are.
    fn look(&mut self, now: Instant) -> Vec<Frame> {
        let mut frames = vec![];
        self.ask_their_pools();
        let (mut over, pools) = (vec![], &self.pools);
        for (id, Prompt { job, telling, ends }) in &mut self.prompts {
            match ends {
                Some(at) if *at <= now => over.push(id.clone()),
                Some(_) => {}
                None => {
                    let in_hand = pool_of(job).and_then(|pool| pools.get(&pool)).map(watch::Receiver::borrow);
                    let images = in_hand.as_ref().and_then(|told| told.get(&JobUid(job.uid.clone())));
                    let image = images.and_then(|images| images.iter().min_by_key(|image| image.index));
                    frames.extend(telling.go_on(job, image, now));
                }
            }
        }
        for id in over {
            let Some(Prompt { job, mut telling, .. }) = self.prompts.remove(&id) else { continue };
            self.remaining.remove(&id);
            self.ended.insert(id);
            frames.extend(telling.end(&job));
            self.told = self.remaining.len();
            frames.push(Frame::status(self.told, None));
            frames.push(Frame::over(&job));
        }
        if self.told != self.remaining.len() {
            self.told = self.remaining.len();
            frames.insert(0, Frame::status(self.told, None));
        }
        frames
    }

    /// The pools of the client's prompts are asked how far these are, and no others.
    fn ask_their_pools(&mut self) {
        let asked = self.prompts.values().filter(|prompt| prompt.ends.is_none());
        let wanted: HashSet<PoolKey> = asked.filter_map(|prompt| pool_of(&prompt.job)).collect();
        self.pools.retain(|pool, _| wanted.contains(pool));
        for pool in wanted {
            self.pools.entry(pool).or_insert_with_key(|pool| self.app.progress.of_pool(pool));
        }
    }
}

/// The pool that a job was accepted in.
fn pool_of(job: &Job) -> Option<PoolKey> {
    job.status.pool.as_ref().map(|pool| PoolKey::new(&pool.namespace, &pool.name))
}

/// What a client's own message is answered with.
fn answer(text: &str) -> Vec<Frame> {
    let message: Value = serde_json::from_str(text).unwrap_or_default();
    if message["type"] == "feature_flags" { vec![Frame::feature_flags(system::flags())] } else { vec![] }
}
