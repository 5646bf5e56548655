//! What a fleet hears: how its orders went, and what came of jobs.

use std::time::Duration;

use policy::{Memory, Sample};
use tokio::time::Instant;

use super::{AGAIN, Fleet, SECRET_EVERY};
use crate::{
    executors::{
        pods::{Created, PodAnswer},
        pools::{PoolAnswer, SecretState},
    },
    planner::JobNews,
};

impl Fleet {
    pub(super) fn hear(&mut self) {
        while let Ok(answer) = self.inbox.workers.try_recv() {
            self.hear_worker(answer);
        }
        while let Ok(news) = self.inbox.jobs.try_recv() {
            self.hear_jobs(news);
        }
        while let Ok(answer) = self.pod_answers.1.try_recv() {
            self.hear_pod(answer);
        }
        while let Ok(answer) = self.pool_answers.1.try_recv() {
            self.hear_pool(answer);
        }
    }

    pub(super) fn hear_jobs(&mut self, news: JobNews) {
        match news {
            JobNews::Took { work, model, units, gpu_ms } => {
                let sample = |ms| {
                    let took = Duration::from_millis(ms);
                    Sample::Task { work: work.clone(), model: model.clone(), units, took }
                };
                self.state.samples.extend(gpu_ms.into_iter().map(sample));
            }
            JobNews::Booked { tenant, images } => {
                if let Some(ledger) = &mut self.state.ledger {
                    ledger.book(&tenant, images);
                }
            }
        }
    }

    pub(super) fn hear_pod(&mut self, answer: PodAnswer) {
        let PodAnswer { name, created } = answer;
        match created {
            Created::Yes => {
                self.state.refusal = None;
                self.started();
            }
            Created::Unanswered => {}
            Created::Refused(why) => self.refused(&name, why),
        }
    }

    pub(super) fn hear_pool(&mut self, answer: PoolAnswer) {
        let now = Instant::now();
        match answer {
            PoolAnswer::Status(written) => {
                self.state.status_under_way = false;
                if written {
                    self.state.status_at = Some(now);
                }
            }
            PoolAnswer::Secret(secret) => {
                let every = if secret == SecretState::Written { SECRET_EVERY } else { AGAIN };
                self.state.secret_at = Some(now + every);
                self.tell_secret(&secret);
                self.state.secret = Some(secret);
            }
            PoolAnswer::Recalled(Ok(memory)) => {
                let memory = memory.unwrap_or_else(|| "{}".to_owned());
                let memory = serde_json::from_str(&memory).unwrap_or_else(|error| {
                    tracing::warn!(pool = %self.key, %error, "what scaling has learned is unreadable; starting afresh");
                    Memory::default()
                });
                self.state.memory = Some(memory);
            }
            PoolAnswer::Recalled(Err(error)) => {
                tracing::warn!(pool = %self.key, %error, "what scaling has learned is not read yet");
                self.state.recalled_at = Some(now + AGAIN);
            }
            // What could not be kept is kept with the next.
            PoolAnswer::Remembered => {}
        }
    }
}
