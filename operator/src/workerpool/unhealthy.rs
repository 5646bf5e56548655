//! Workers that can't work, and workers that do not come up: what the pool's owner is told of them. Pure.

use crds::events::EventReason;
use policy::{Action, Capacity, Decision, Failing, Fault, Why, Worker};

use crate::notice::Notice;

/// Workers that fail tasks and are replaced.
pub(crate) fn replaced(decisions: &[Decision]) -> Vec<Notice> {
    let notice = |decision: &Decision| match (&decision.action, &decision.why) {
        (Action::Retire { worker } | Action::Hold { worker }, Why::Broken { .. }) => {
            let note = format!("{worker}: {}", decision.why);
            Some(Notice::warning(EventReason::WorkerUnhealthy, "Replace", note))
        }
        _ => None,
    };
    decisions.iter().filter_map(notice).collect()
}

/// How many starts in a row have failed, by capacity.
pub(crate) type Failures = Vec<(Capacity, u32)>;

/// Starts that fail, each time that it is one more than was told; and what is told by then.
pub(crate) fn failed_starts(told: &Failures, failing: &[Failing]) -> (Vec<Notice>, Failures) {
    let now: Failures = failing.iter().map(|failing| (failing.capacity, failing.workers)).collect();
    // 0: the API server refused them, which is told of each Pod.
    let is_new =
        |failing: &&Failing| failing.workers > 0 && !told.contains(&(failing.capacity, failing.workers));
    let notice = |failing: &Failing| {
        let Failing { capacity, workers, message, next_try: _ } = failing;
        let note = format!("{workers} {capacity} workers in a row were not ready in time: {message}");
        Notice::warning(EventReason::StartupFailed, "Start", note)
    };
    (failing.iter().filter(is_new).map(notice).collect(), now)
}

/// In the words of one of them, if there are workers that fail what they do, and no other is up.
pub(crate) fn all_unhealthy(workers: &[Worker]) -> Option<String> {
    let broken =
        |worker: &&Worker| worker.trouble.as_ref().is_some_and(|trouble| trouble.fault == Fault::Worker);
    let worker = workers.iter().filter(broken).find(|worker| worker.is_up())?;
    let serves = workers.iter().any(|worker| worker.is_up() && worker.trouble.is_none());
    let message = &worker.trouble.as_ref()?.message;
    (!serves).then(|| format!("worker {}: {message}", worker.id))
}

#[cfg(test)]
mod tests {
    use policy::{Phase, Time, Trouble, WorkerId};

    use super::*;

    fn worker(id: &str, trouble: Option<Fault>) -> Worker {
        let message = "3 images of different jobs failed in a row".to_owned();
        let idle = Phase::Idle { since: Time::from_millis(0) };
        let trouble = trouble.map(|fault| Trouble { fault, message });
        let id = WorkerId(id.into());
        Worker { phase: idle, trouble, ..Worker::new(id, Capacity::Spot, Time::from_millis(0)) }
    }

    #[test]
    fn a_pool_is_unhealthy_when_no_worker_is_left_that_does_its_work() {
        let (bad, good) = (worker("bad", Some(Fault::Worker)), worker("good", None));
        let words = "worker bad: 3 images of different jobs failed in a row";
        assert_eq!(all_unhealthy(std::slice::from_ref(&bad)).as_deref(), Some(words));
        assert_eq!(all_unhealthy(&[bad, good]), None, "it is replaced in time");
        assert_eq!(all_unhealthy(&[worker("w", Some(Fault::Machine))]), None);
        assert_eq!(all_unhealthy(&[]), None);
    }

    #[test]
    fn a_worker_that_is_replaced_for_what_it_fails_is_told() {
        let decision = |action, why| Decision { action, why, look_again: Time::from_millis(0) };
        let retire = || Action::Retire { worker: WorkerId("bad".into()) };
        let broken = Why::Broken { message: "3 images failed".into() };
        let told = replaced(&[decision(retire(), broken), decision(retire(), Why::Suspended)]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].reason, EventReason::WorkerUnhealthy);
        assert!(
            told[0].note.starts_with("bad: ") && told[0].note.contains("3 images failed"),
            "{}",
            told[0].note
        );
    }

    #[test]
    fn each_failed_start_is_told_once() {
        let failing = |workers| Failing {
            capacity: Capacity::Spot,
            workers,
            message: "the engine does not answer".into(),
            next_try: None,
        };
        let (first, told) = failed_starts(&vec![], &[failing(3)]);
        assert_eq!(
            first[0].note,
            "3 spot workers in a row were not ready in time: the engine does not answer"
        );
        let (again, told) = failed_starts(&told, &[failing(3)]);
        assert!(again.is_empty());
        assert_eq!(failed_starts(&told, &[failing(4)]).0.len(), 1);
        assert!(failed_starts(&told, &[failing(0)]).0.is_empty(), "the API server refused it");
    }
}
