//! The Events that tell of spot machines running short and coming back. Pure.

use crds::events::EventReason;
use policy::{Capacity, Memory, Phase, Seen};

use crate::notice::Notice;

/// What there is to tell of the zones between one plan's memory and the next.
pub(crate) fn between(before: &Memory, after: &Memory, seen: &Seen, scheduler: Option<&str>) -> Vec<Notice> {
    let began = after.shortages.keys().filter(|zone| !before.shortages.contains_key(*zone)).map(|zone| {
        let said = scheduler.map_or_else(String::new, |message| format!("; the scheduler: {message}"));
        let note = format!("no spot machines are to be had{}{said}", place(zone));
        Notice::warning(EventReason::SpotShortage, "Scale", note)
    });
    // One that was only forgotten, because it lies so far back, has not ended.
    let ended = |zone: &&String| !after.shortages.contains_key(*zone) && has_a_machine(zone, seen);
    let ended = before.shortages.keys().filter(ended).map(|zone| {
        let note = format!("spot machines are to be had again{}", place(zone));
        Notice::normal(EventReason::SpotRecovered, "Scale", note)
    });
    began.chain(ended).collect()
}

fn has_a_machine(zone: &str, seen: &Seen) -> bool {
    seen.workers.iter().any(|worker| {
        worker.capacity == Capacity::Spot
            && worker.phase != Phase::Unscheduled
            && (zone.is_empty() || worker.zone.as_deref() == Some(zone))
    })
}

/// The zone without a name is that of a pool that names none.
fn place(zone: &str) -> String {
    if zone.is_empty() { String::new() } else { format!(" in zone {zone}") }
}

#[cfg(test)]
mod tests {
    use policy::{Health, Order, Shortage, Time, Worker, WorkerId};

    use super::*;

    fn short(zones: &[&str]) -> Memory {
        let shortage = Shortage { since: Time::from_millis(1), until: Time::from_millis(9), times: 1 };
        let shortages = zones.iter().map(|zone| ((*zone).to_owned(), shortage)).collect();
        Memory { shortages, ..Memory::default() }
    }

    fn machine_in(zone: &str) -> Seen {
        let worker = Worker {
            id: WorkerId("w".into()),
            capacity: Capacity::Spot,
            zone: Some(zone.into()),
            node: Some("n".into()),
            model: None,
            created: Time::from_millis(2),
            phase: Phase::Starting { scheduled: Time::from_millis(3) },
            health: Health::Well,
            order: Order::Work,
        };
        Seen { queue: None, workers: vec![worker] }
    }

    fn told(before: &[&str], after: &[&str], seen: &Seen) -> Vec<String> {
        let notices = between(&short(before), &short(after), seen, Some("0/3 nodes are available"));
        notices.into_iter().map(|notice| format!("{}: {}", notice.reason, notice.note)).collect()
    }

    #[test]
    fn a_shortage_is_told_when_it_begins_and_when_a_machine_came() {
        let nobody = Seen::default();
        let began =
            "SpotShortage: no spot machines are to be had in zone a; the scheduler: 0/3 nodes are available";
        assert_eq!(told(&[], &["a"], &nobody), [began]);
        assert_eq!(told(&["a"], &["a"], &nobody), [""; 0]);
        let ended = "SpotRecovered: spot machines are to be had again in zone a";
        assert_eq!(told(&["a", "b"], &["b"], &machine_in("a")), [ended]);
        assert_eq!(told(&["a"], &[], &machine_in("b")), [""; 0], "forgotten, not ended");
        assert_eq!(
            told(&[], &[""], &nobody),
            ["SpotShortage: no spot machines are to be had; the scheduler: 0/3 nodes are available"]
        );
    }
}
