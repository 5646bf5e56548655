//! What waits in one class.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Ask, HOUR, MAX_WAIT, Name};

/// A class.
#[derive(Debug)]
pub(super) struct Lane {
    /// Its promise, ms.
    pub(super) sla: i64,
    /// What came back: due, uid, index.
    pub(super) returned: BTreeSet<(i64, u32, u32)>,
    /// Tenants that were not served for their longest wait, by when that was over.
    pub(super) overdue: BTreeSet<(i64, Name)>,
    /// Tenants by tag; of equal tags the one whose head is due first.
    pub(super) turns: BTreeSet<(i64, i64, Name)>,
    pub(super) flows: HashMap<Name, Flow>,
    /// When to look whether a tenant has waited for too long.
    waits: HashMap<Name, i64>,
    /// The largest tag served in turn.
    clock: i64,
    /// How often in a row others were served in its place.
    pub(super) passes: u32,
}

/// A tenant in a class.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// By model: jobs by due time.
    pub(super) lines: BTreeMap<Name, BTreeSet<(i64, u32)>>,
    /// Where it stands in turns.
    place: Option<(i64, i64)>,
    /// Its tag while it has no place.
    tag: i64,
    /// When it was last served, ms.
    pub(super) served: i64,
}

impl Flow {
    /// When its first job is due.
    pub(super) fn head(&self) -> Option<i64> {
        self.lines.values().filter_map(|line| Some(line.first()?.0)).min()
    }

    /// Its first lines by their heads' due times, those that need no load before.
    pub(super) fn lines_for(&self, ask: &Ask<'_>) -> Vec<Name> {
        const DEPTH: usize = 3;
        let mut by_due: Vec<_> =
            self.lines.iter().filter_map(|(model, line)| Some((line.first()?.0, *model))).collect();
        by_due.sort_unstable();
        let found: Vec<Name> = by_due.into_iter().take(DEPTH).map(|(_, model)| model).collect();
        if found.first().is_none_or(|first| !ask.needs_load(*first)) {
            return found;
        }
        let ready = ask.loaded.into_iter().chain([Name::NONE]).filter(|model| self.lines.contains_key(model));
        let mut lines: Vec<Name> = ready.collect();
        for model in found {
            if !lines.contains(&model) {
                lines.push(model);
            }
        }
        lines
    }
}

impl Lane {
    pub(super) fn new(sla: i64) -> Self {
        Self {
            sla,
            returned: BTreeSet::new(),
            overdue: BTreeSet::new(),
            turns: BTreeSet::new(),
            flows: HashMap::new(),
            waits: HashMap::new(),
            clock: 0,
            passes: 0,
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.turns.is_empty() || !self.is_plain()
    }

    /// Nothing goes before its turns.
    pub(super) fn is_plain(&self) -> bool {
        self.returned.is_empty() && self.overdue.is_empty()
    }

    /// When its head should be served.
    pub(super) fn deadline(&self) -> i64 {
        if let Some((due, ..)) = self.returned.first() {
            return *due;
        }
        if !self.overdue.is_empty() {
            return 0;
        }
        let Some((_, due, tenant)) = self.turns.first() else { return i64::MAX };
        let served = self.flows.get(tenant).map_or(0, |flow| flow.served);
        (*due).max(served + self.sla)
    }

    /// Puts a tenant where its head and its tag belong. One that comes in starts no earlier than what was last served.
    pub(super) fn place(&mut self, tenant: Name) {
        let Some(flow) = self.flows.get_mut(&tenant) else { return };
        let Some(due) = flow.head() else { return };
        let tag = match flow.place.take() {
            Some((tag, old)) => {
                self.turns.remove(&(tag, old, tenant));
                tag
            }
            None => {
                self.waits.entry(tenant).or_insert(due);
                flow.tag.max(self.clock)
            }
        };
        flow.place = Some((tag, due));
        self.turns.insert((tag, due, tenant));
    }

    /// A tenant got a task: it moves on by its charge, and the class's clock with it if it was its turn.
    pub(super) fn serve(&mut self, tenant: Name, charge: i64, now: i64, in_turn: bool) {
        let Some(flow) = self.flows.get_mut(&tenant) else { return };
        let Some((tag, due)) = flow.place.take() else { return };
        self.turns.remove(&(tag, due, tenant));
        if in_turn {
            self.clock = self.clock.max(tag);
        }
        flow.served = now;
        flow.tag = tag + charge;
        if let Some(due) = flow.head() {
            flow.place = Some((flow.tag, due));
            self.turns.insert((flow.tag, due, tenant));
        }
    }

    /// A tenant pays for more than it was charged, or less.
    pub(super) fn correct(&mut self, tenant: Name, delta: i64) {
        let Some(flow) = self.flows.get_mut(&tenant) else { return };
        match &mut flow.place {
            Some((tag, due)) => {
                self.turns.remove(&(*tag, *due, tenant));
                *tag += delta;
                self.turns.insert((*tag, *due, tenant));
            }
            None => flow.tag += delta,
        }
    }

    pub(super) fn find_overdue(&mut self, now: i64) {
        let due: Vec<Name> = self.waits.iter().filter(|(_, at)| **at <= now).map(|(name, _)| *name).collect();
        for tenant in due {
            let Some(flow) = self.flows.get(&tenant) else { continue };
            if let (Some(_), Some(head)) = (flow.place, flow.head()) {
                let limit = (head - self.sla).max(flow.served) + MAX_WAIT * self.sla;
                if limit <= now {
                    self.overdue.retain(|(_, name)| *name != tenant);
                    self.overdue.insert((limit, tenant));
                }
                let again = if limit > now { limit } else { now + MAX_WAIT * self.sla };
                self.waits.insert(tenant, again);
            } else if flow.served + HOUR > now {
                self.waits.insert(tenant, flow.served + HOUR);
            } else {
                self.waits.remove(&tenant);
                self.flows.remove(&tenant);
            }
        }
    }
}
