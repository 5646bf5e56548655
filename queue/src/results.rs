//! The stream that wakes the operator for jobs that something happened to.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::{
    Cmd, RedisResult,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};

use crate::{EventKind, JobUid, Queue, Redis, Result, ResultEvent, connection::RESPONSE_TIMEOUT, spec};

/// The one group: the operator.
const GROUP: &str = "operator";
/// Longest single wait in Redis.
const LONGEST_BLOCK: Duration = Duration::from_secs(5);
/// What was taken and not acknowledged for so long is given out again: its consumer is gone.
const ABANDONED: Duration = Duration::from_secs(30);

/// A consumer of a queue's results. Events come at least once; [`ack`](Self::ack) after acting on them. They
/// only say where to look: [`Queue::job`] and [`Queue::outcomes`] are the truth.
#[derive(Debug)]
pub struct Results {
    queue: Queue,
    /// Its own: a blocking read holds up all behind it.
    redis: Redis,
    stream: String,
    consumer: String,
    /// The last event of an earlier life under this name that was given out; `None` when all were.
    replayed: Option<String>,
    looked_for_abandoned: Option<Instant>,
    /// How many events of an entry are not acknowledged yet, where it has several.
    open: Mutex<HashMap<String, usize>>,
}

impl Results {
    /// Opens the stream under a consumer's name, which should be the process's own. What was taken under that
    /// name before and not acknowledged comes again.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn open(queue: &Queue, consumer: &str) -> Result<Self> {
        let results = Self {
            queue: queue.clone(),
            redis: queue.redis.dedicated(LONGEST_BLOCK + RESPONSE_TIMEOUT),
            stream: queue.key("results"),
            consumer: consumer.to_owned(),
            replayed: Some("0".to_owned()),
            looked_for_abandoned: None,
            open: Mutex::default(),
        };
        results.create_group().await?;
        Ok(results)
    }

    /// By a script, which a Redis at its memory limit lets write.
    async fn create_group(&self) -> Result<()> {
        let fill = |call: &mut Cmd| {
            call.arg(GROUP);
        };
        self.queue.run(|s| &s.open_results, fill).await
    }

    /// Waits for events, at most `wait` (and 5 s); none when there were none.
    ///
    /// # Errors
    /// When Redis can't be reached; nothing is lost by it.
    pub async fn next(&mut self, max: u32, wait: Duration) -> Result<Vec<ResultEvent>> {
        match self.try_next(max, wait).await {
            Ok(found) => Ok(self.take_apart(found)),
            // Redis was emptied.
            Err(error) if error.code() == Some("NOGROUP") => {
                self.create_group().await?;
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn try_next(&mut self, max: u32, wait: Duration) -> RedisResult<Vec<StreamId>> {
        if let Some(after) = &self.replayed {
            let found = self.read(max, after, None).await?;
            self.replayed = found.last().map(|last| last.id.clone());
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let abandoned = self.abandoned(max).await?;
        if !abandoned.is_empty() {
            return Ok(abandoned);
        }
        self.read(max, ">", Some(wait.min(LONGEST_BLOCK))).await
    }

    /// Events after `after` of those this consumer took before, or with `>` those nobody has taken yet.
    async fn read(&self, max: u32, after: &str, wait: Option<Duration>) -> RedisResult<Vec<StreamId>> {
        let mut call = redis::cmd("XREADGROUP");
        call.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(max);
        if let Some(wait) = wait {
            // 0 would mean for ever.
            call.arg("BLOCK").arg(spec::millis(wait).max(1));
        }
        call.arg("STREAMS").arg(&self.stream).arg(after);
        let reply: Option<StreamReadReply> = self.redis.query(&call).await?;
        Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect())
    }

    /// Takes over what other consumers, or a cancelled call of our own, left.
    async fn abandoned(&mut self, max: u32) -> RedisResult<Vec<StreamId>> {
        if self.looked_for_abandoned.is_some_and(|looked| looked.elapsed() < ABANDONED) {
            return Ok(Vec::new());
        }
        let mut call = redis::cmd("XAUTOCLAIM");
        call.arg(&self.stream).arg(GROUP).arg(&self.consumer).arg(spec::millis(ABANDONED));
        call.arg("0-0").arg("COUNT").arg(max);
        let reply: StreamAutoClaimReply = self.redis.query(&call).await?;
        if reply.next_stream_id == "0-0" {
            self.looked_for_abandoned = Some(Instant::now());
        }
        Ok(reply.claimed)
    }

    /// One entry tells of all the jobs that one write concerned.
    fn take_apart(&self, entries: Vec<StreamId>) -> Vec<ResultEvent> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        for entry in entries {
            open.insert(entry.id.clone(), entry.map.len());
            for (job, kind) in entry.map {
                let kind = redis::from_redis_value::<String>(kind).unwrap_or_default();
                events.push(ResultEvent { id: entry.id.clone(), job: JobUid(job), kind: event_kind(&kind) });
            }
        }
        events
    }

    /// These events were acted upon, by their ids, one for each; they will not come again.
    ///
    /// # Errors
    /// When Redis can't be reached; they may come again then.
    pub async fn ack<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let closed: Vec<&str> = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            ids.into_iter().filter(|id| close(&mut open, id)).collect()
        };
        if closed.is_empty() {
            return Ok(());
        }
        let command = |name: &str| {
            let mut call: Cmd = redis::cmd(name);
            call.arg(&self.stream);
            call
        };
        self.redis.query::<()>(command("XACK").arg(GROUP).arg(&closed)).await?;
        // There is no other group: nobody will read them.
        Ok(self.redis.query::<()>(command("XDEL").arg(&closed)).await?)
    }
}

/// Whether this was the last open event of its entry.
fn close(open: &mut HashMap<String, usize>, id: &str) -> bool {
    match open.get_mut(id) {
        Some(left) if *left > 1 => {
            *left -= 1;
            false
        }
        Some(_) => open.remove(id).is_some(),
        None => true,
    }
}

/// A kind that a newer program knows says no less than any other: look at the job.
fn event_kind(word: &str) -> EventKind {
    match word {
        "started" => EventKind::Started,
        "advanced" => EventKind::Advanced,
        "returned" => EventKind::Returned,
        "dead" => EventKind::Dead,
        "finished" => EventKind::Finished,
        _ => EventKind::Other,
    }
}
