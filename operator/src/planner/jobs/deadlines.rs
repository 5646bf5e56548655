//! Whether unfinished jobs keep their promise. What is compared lies in memory; a job in good time costs no call to
//! anyone.

use std::time::Duration;

use jiff::Timestamp;

use super::{Jobs, look::prospect};
use crate::{
    imagejob::{
        pace::PROGRESS_EVERY,
        promise::{self, News},
    },
    index::Why,
};

/// Between two looks at all jobs.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Jobs looked at at once because their promise is at risk, missed, or not at risk any more: more wait their turn, so
/// that results are not kept waiting behind them.
const VERDICTS: usize = 100;
/// Jobs looked at at once because their last image should be done earlier or later than was told.
const ESTIMATES: usize = 20;

impl Jobs {
    /// Looks at the jobs of which something new is to be said.
    pub(super) fn judge_deadlines(&mut self, now: Timestamp) {
        let (mut verdicts, mut estimates) = (Vec::new(), Vec::new());
        for key in self.out.handles.keys() {
            let Some(handle) = self.handle(Some(&key)) else { continue };
            self.index.jobs.each_of_pool(&key, |record| {
                if record.told.terms.is_none() || verdicts.len() >= VERDICTS {
                    return;
                }
                let waits = record.told.counts.is_none_or(|counts| counts.waiting > 0);
                match promise::news(&record.told, &prospect(record, waits, &handle), now) {
                    Some(News::Verdict) => verdicts.push(record.uid),
                    Some(News::Estimate) if estimates.len() < ESTIMATES => {
                        let pace = self.paces.get(&record.uid);
                        let written = pace.and_then(|pace| pace.written);
                        if written.is_none_or(|written| written.elapsed() >= PROGRESS_EVERY) {
                            estimates.push(record.uid);
                        }
                    }
                    Some(News::Estimate) | None => {}
                }
            });
        }
        for uid in verdicts.into_iter().chain(estimates) {
            self.index.jobs.mark(uid, Why::Turn);
        }
    }
}
