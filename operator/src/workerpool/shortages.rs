//! The Events that tell of machines running short and coming back. Pure.

use crds::events::EventReason;
use policy::{Capacity, Memory, Phase, Seen, Shortage};

use crate::notice::Notice;

/// What there is to tell of the zones between one plan's memory and the next.
pub(crate) fn between(before: &Memory, after: &Memory, seen: &Seen) -> Vec<Notice> {
    Capacity::ALL.into_iter().flat_map(|capacity| of(capacity, before, after, seen)).collect()
}

fn of(capacity: Capacity, before: &Memory, after: &Memory, seen: &Seen) -> Vec<Notice> {
    let zones = |memory: &Memory| memory.short.get(&capacity).cloned().unwrap_or_default();
    let (before, after) = (zones(before), zones(after));
    let (short, recovered) = match capacity {
        Capacity::Spot => (EventReason::SpotShortage, EventReason::SpotRecovered),
        Capacity::OnDemand => (EventReason::OnDemandShortage, EventReason::OnDemandRecovered),
    };
    let began = after.iter().filter(|(zone, _)| !before.contains_key(*zone)).map(|(zone, shortage)| {
        let Shortage { since: _, until: _, times: _, lack, message } = shortage;
        let message = message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
        Notice::warning(short, "Scale", format!("{}{}{message}", lack.message(capacity), place(zone)))
    });
    // One that was only forgotten, because it lies so far back, has not ended.
    let ended =
        before.keys().filter(|zone| !after.contains_key(*zone) && has_a_machine(capacity, zone, seen));
    let ended = ended.map(|zone| {
        let note = format!("{capacity} machines are available again{}", place(zone));
        Notice::normal(recovered, "Scale", note)
    });
    began.chain(ended).collect()
}

fn has_a_machine(capacity: Capacity, zone: &str, seen: &Seen) -> bool {
    seen.workers.iter().any(|worker| {
        worker.capacity == capacity
            && !matches!(worker.phase, Phase::Unscheduled { .. } | Phase::Failed)
            && (zone.is_empty() || worker.zone.as_deref() == Some(zone))
    })
}

/// The zone without a name is that of a pool that names none.
fn place(zone: &str) -> String {
    if zone.is_empty() { String::new() } else { format!(" in zone {zone}") }
}

#[cfg(test)]
mod tests {
    use policy::{Lack, Time, Worker, WorkerId};

    use super::*;

    fn short(capacity: Capacity, zones: &[&str]) -> Memory {
        let (since, until) = (Time::from_millis(1), Time::from_millis(9));
        let message = Some("0/3 nodes are available".to_owned());
        let shortage = Shortage { since, until, times: 1, lack: Lack::Machines, message };
        let zones = zones.iter().map(|zone| ((*zone).to_owned(), shortage.clone())).collect();
        Memory { short: [(capacity, zones)].into(), ..Memory::default() }
    }

    fn machine_in(zone: &str) -> Seen {
        let worker = Worker {
            zone: Some(zone.into()),
            node: Some("n".into()),
            phase: Phase::Starting { scheduled: Time::from_millis(3) },
            ..Worker::new(WorkerId("w".into()), Capacity::Spot, Time::from_millis(2))
        };
        Seen { workers: vec![worker], ..Seen::default() }
    }

    fn notices(before: &[&str], after: &[&str], seen: &Seen) -> Vec<String> {
        let of = |zones| short(Capacity::Spot, zones);
        let notices = between(&of(before), &of(after), seen);
        notices.into_iter().map(|notice| format!("{}: {}", notice.reason, notice.note)).collect()
    }

    #[test]
    fn a_shortage_is_told_when_it_begins_and_when_a_machine_came() {
        let nobody = Seen::default();
        let began = "SpotShortage: no spot machines are available in zone a: 0/3 nodes are available";
        assert_eq!(notices(&[], &["a"], &nobody), [began]);
        assert_eq!(notices(&["a"], &["a"], &nobody), [""; 0]);
        let ended = "SpotRecovered: spot machines are available again in zone a";
        assert_eq!(notices(&["a", "b"], &["b"], &machine_in("a")), [ended]);
        assert_eq!(notices(&["a"], &[], &machine_in("b")), [""; 0], "forgotten, not ended");
        let on_demand = between(&Memory::default(), &short(Capacity::OnDemand, &[""]), &nobody);
        assert_eq!(on_demand[0].note, "no on-demand machines are available: 0/3 nodes are available");
    }
}
