//! Submissions with Idempotency-Keys while replicas are killed: clients send again what was not answered, to any replica,
//! some give up early, and some send again what was answered.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::ListParams;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    connection::Connection,
    replica::Replica,
    stage::{Stage, spec},
};
use crate::report::Figures;

/// Distinct keys.
const KEYS: usize = 10_000;
const CLIENTS: usize = 32;
const REPLICAS: usize = 3;
/// Between two kills, milliseconds.
const KILL_AFTER_MS: std::ops::Range<u64> = 300..2000;
/// Clients wait so long for an answer at most.
const ANSWER: Duration = Duration::from_secs(15);
/// Of so many tries one is given up early, and of so many keys one is sent again after its answer.
const ONE_IN: u64 = 50;
/// Who gives up early does so after up to this, milliseconds.
const EARLY_MS: u64 = 30;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);
/// For all of it.
const DEADLINE: Duration = Duration::from_secs(300);
/// The draws are the same in each run.
const SEED: u64 = 7;

/// Puts in how many jobs there are too many or too few, and how often replicas were killed and requests sent again; returns
/// the ids of the jobs.
pub(super) async fn measure(stage: &Stage, figures: &mut Figures) -> Result<Vec<String>> {
    let mut replicas = vec![];
    for _ in 0..REPLICAS {
        replicas.push(stage.replica().await?);
    }
    let service = Service::of(&replicas);
    let keys = AtomicUsize::new(0);
    let clients = (0..CLIENTS).map(|client| {
        let draws = Draws(SEED + client as u64);
        Client { stage, service: &service, draws, connection: None }.run(&keys)
    });
    let submitted = stream::iter(clients).buffer_unordered(CLIENTS).try_collect::<Vec<Vec<String>>>();
    let submitted = async {
        tokio::select! {
            submitted = submitted => submitted,
            Err(error) = kill(&mut replicas, &service) => Err(error),
        }
    };
    let ids: Vec<String> = timeout(DEADLINE, submitted).await.context("submissions take too long")??.concat();
    let distinct = ids.iter().collect::<HashSet<_>>().len();
    ensure!(ids.len() == KEYS, "{} of {KEYS} keys are answered", ids.len());
    let jobs = stage.jobs().list_metadata(&ListParams::default()).await?.items.len();
    // Two keys with the same job would be as wrong as two jobs for a key.
    let wrong = jobs.abs_diff(KEYS) + (KEYS - distinct);
    #[allow(clippy::cast_precision_loss)]
    figures.insert("api.duplicates".into(), wrong as f64);
    figures.insert("api.kills".into(), service.kills.load(Ordering::Relaxed).into());
    figures.insert("api.sent_again".into(), service.sent_again.load(Ordering::Relaxed).into());
    Ok(ids)
}

/// The replicas as a Service in front of them knows them: one that was killed is found out a little later.
struct Service {
    replicas: Vec<(SocketAddr, AtomicBool)>,
    kills: AtomicU32,
    sent_again: AtomicU32,
}

impl Service {
    fn of(replicas: &[Replica]) -> Self {
        let replicas = replicas.iter().map(|replica| (replica.address, AtomicBool::new(true))).collect();
        Self { replicas, kills: AtomicU32::new(0), sent_again: AtomicU32::new(0) }
    }

    /// Any of those that count as ready.
    fn pick(&self, draws: &mut Draws) -> Option<SocketAddr> {
        let ready: Vec<SocketAddr> = self
            .replicas
            .iter()
            .filter(|(_, ready)| ready.load(Ordering::Relaxed))
            .map(|(at, _)| *at)
            .collect();
        ready.get(draws.index(ready.len())).copied()
    }
}

/// Kills one replica after the other, any of them, and starts each again.
async fn kill(replicas: &mut [Replica], service: &Service) -> Result<Infallible> {
    let mut draws = Draws(SEED);
    loop {
        sleep(Duration::from_millis(draws.within(&KILL_AFTER_MS))).await;
        let n = draws.index(REPLICAS);
        let (replica, (_, ready)) = (&mut replicas[n], &service.replicas[n]);
        replica.kill();
        service.kills.fetch_add(1, Ordering::Relaxed);
        sleep(AGAIN).await;
        ready.store(false, Ordering::Relaxed);
        replica.start().await?;
        ready.store(true, Ordering::Relaxed);
    }
}

struct Client<'a> {
    stage: &'a Stage,
    service: &'a Service,
    draws: Draws,
    /// Kept as long as it works.
    connection: Option<Connection>,
}

impl Client<'_> {
    /// Submits one key after the other until there are no more; returns the ids of the jobs.
    async fn run(mut self, keys: &AtomicUsize) -> Result<Vec<String>> {
        let mut ids = vec![];
        loop {
            let key = keys.fetch_add(1, Ordering::Relaxed);
            if key >= KEYS {
                return Ok(ids);
            }
            let header = format!("idempotency-key: key-{key}\r\n");
            let request = self.stage.request("POST /v1/jobs", &header, &spec().to_string());
            let id = self.until_answered(&request).await?;
            if self.draws.one_in(ONE_IN) {
                let again = self.until_answered(&request).await?;
                ensure!(again == id, "key {key} has the jobs {id} and {again}");
            }
            ids.push(id);
        }
    }

    async fn until_answered(&mut self, request: &[u8]) -> Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            let patience = if self.draws.one_in(ONE_IN) {
                Duration::from_millis(self.draws.below(EARLY_MS))
            } else {
                ANSWER
            };
            match timeout(patience, self.send(request)).await {
                Ok(Ok((200 | 201, job))) => return Ok(job["id"].as_str().context("no id")?.to_owned()),
                // Another request with this key runs still, or a part is away for now.
                Ok(Ok((409 | 429 | 500.., _))) => {}
                Ok(Ok((status, answer))) => bail!("{status}: {answer}"),
                // The connection broke, or the client has given up.
                Ok(Err(_)) | Err(_) => {}
            }
            self.service.sent_again.fetch_add(1, Ordering::Relaxed);
            sleep(AGAIN).await;
        }
        bail!("a request is not answered")
    }

    /// The answer's status and body.
    async fn send(&mut self, request: &[u8]) -> Result<(u16, Value)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.service.pick(&mut self.draws).context("none is ready")?).await?,
        };
        let answer = connection.send(request).await?;
        let answer = (answer.status, serde_json::from_slice(answer.body)?);
        self.connection = Some(connection);
        Ok(answer)
    }
}

/// Random-looking numbers (splitmix64).
struct Draws(u64);

impl Draws {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.bits() % end.max(1)
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    fn within(&mut self, range: &std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}
