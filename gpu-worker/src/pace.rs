use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::comfyui::Progress;

/// Weight of the newest picture in the average: about the last five count.
const NEWEST: f64 = 0.3;

/// How fast this machine is, learned from what it has done.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Seconds for one unit of work, by work key.
    seconds_per_unit: HashMap<String, f64>,
}

/// How long something will take: two views of it, from which each reader takes the careful one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) soonest: Duration,
    pub(crate) latest: Duration,
    /// Pictures of its kind were made here before, so that it is not by the steps of one node alone.
    pub(crate) is_learned: bool,
}

impl Pace {
    pub(crate) fn learn(&mut self, work: &str, units: f64, took: Duration) {
        let seconds = took.as_secs_f64() / units.max(f64::MIN_POSITIVE);
        let average = self.seconds_per_unit.entry(work.to_owned()).or_insert(seconds);
        *average += NEWEST * (seconds - *average);
    }

    /// Time left of a task in the engine; `None` where nothing is known yet.
    pub(crate) fn left(&self, work: &str, units: f64, progress: &Progress, now: Instant) -> Option<Estimate> {
        let by_steps = by_steps(progress, now);
        let by_history = self.seconds_per_unit.get(work).and_then(|seconds| {
            let whole = Duration::try_from_secs_f64(seconds * units).ok()?;
            Some(whole.saturating_sub(now - progress.started.unwrap_or(now)))
        });
        let is_learned = by_history.is_some();
        let (a, b) = match (by_steps, by_history) {
            (Some(a), Some(b)) => (a, b),
            (Some(known), None) | (None, Some(known)) => (known, known),
            (None, None) => return None,
        };
        Some(Estimate { soonest: a.min(b), latest: a.max(b), is_learned })
    }
}

/// The steps still to do at the pace of those done; what follows the last one is not in it.
fn by_steps(progress: &Progress, now: Instant) -> Option<Duration> {
    let steps = progress.steps?;
    let (first_at, first) = steps.first;
    let measured = steps.done.checked_sub(first).filter(|&steps| steps > 0)?;
    let step = (steps.last - first_at) / measured;
    Some((step * steps.total.saturating_sub(steps.done)).saturating_sub(now - steps.last))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Estimate, Pace};
    use crate::comfyui::{Phase, Progress, Steps};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_is_known_of_a_first_picture() {
        assert_eq!(Pace::default().left("m", 1.0, &Progress::default(), Instant::now()), None);
    }

    #[test]
    fn a_picture_takes_what_the_last_ones_took_for_their_size() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.learn("m", 10.0, 5 * SECOND);
        }
        let now = Instant::now();
        let left = pace.left("m", 40.0, &Progress::default(), now).expect("known");
        assert_eq!(left.soonest, 20 * SECOND);
        assert_eq!(pace.left("other", 40.0, &Progress::default(), now), None);
    }

    #[test]
    fn steps_tell_within_a_picture() {
        let start = Instant::now();
        let progress = Progress {
            phase: Phase::Running,
            started: Some(start),
            // Four steps in four seconds, after nine for loading the model.
            steps: Some(Steps {
                done: 5,
                total: 20,
                first: (start + 9 * SECOND, 1),
                last: start + 13 * SECOND,
            }),
            ..Progress::default()
        };
        let mut pace = Pace::default();
        let now = start + 13 * SECOND;
        let by_steps = pace.left("m", 20.0, &progress, now).expect("known");
        assert_eq!(by_steps, Estimate { soonest: 15 * SECOND, latest: 15 * SECOND, is_learned: false });

        pace.learn("m", 20.0, 18 * SECOND);
        let both = pace.left("m", 20.0, &progress, now).expect("known");
        assert_eq!(both, Estimate { soonest: 5 * SECOND, latest: 15 * SECOND, is_learned: true });
    }
}
