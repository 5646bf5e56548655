//! What waits in one class.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Ask, LAST_PART, LOOKAHEAD, MAX_WAIT, Name, THOUSAND};

/// A class.
#[derive(Debug)]
pub(super) struct Lane {
    /// Its promise, ms.
    pub(super) sla: i64,
    /// What came back: due, uid, index.
    pub(super) returned: BTreeSet<(i64, u32, u32)>,
    /// Tenants by tag.
    pub(super) turns: BTreeSet<(i64, Name)>,
    /// Tenants by when they are to be served at the latest.
    limits: BTreeSet<(i64, Name)>,
    /// The largest tag that was the lowest when something was granted.
    clock: i64,
    /// Tags of tenants that have no work.
    left: HashMap<Name, i64>,
    pub(super) flows: HashMap<Name, Flow>,
    /// Who goes before its turn, and when it is to be served at the latest; as of the last claim.
    pub(super) pressing: Vec<(i64, Name)>,
    /// Up to this tag.
    pub(super) most: i64,
    /// How often in a row others were served in its place.
    pub(super) passes: u32,
}

/// A tenant in a class.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// By model: jobs by when they must start.
    pub(super) lines: BTreeMap<Name, BTreeSet<(i64, u32)>>,
    /// Its tag, and when it is to be served at the latest, while it has work.
    place: Option<(i64, i64)>,
}

impl Flow {
    /// When its first job must start.
    fn head(&self) -> Option<i64> {
        self.lines.values().filter_map(|line| Some(line.first()?.0)).min()
    }

    /// Its first lines by their heads: a claim looks no further.
    fn first_lines(&self) -> Vec<Name> {
        const DEPTH: usize = 3;
        let mut by_due: Vec<_> =
            self.lines.iter().filter_map(|(model, line)| Some((line.first()?.0, *model))).collect();
        by_due.sort_unstable();
        by_due.into_iter().take(DEPTH).map(|(_, model)| model).collect()
    }

    /// Its first lines, those that need no load before.
    pub(super) fn lines_for(&self, ask: &Ask<'_>) -> Vec<Name> {
        let found = self.first_lines();
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
            turns: BTreeSet::new(),
            limits: BTreeSet::new(),
            clock: 0,
            left: HashMap::new(),
            flows: HashMap::new(),
            pressing: Vec::new(),
            most: 0,
            passes: 0,
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.turns.is_empty() || !self.returned.is_empty()
    }

    /// Whether a tenant has nothing among its first lines that this worker can do without a load.
    pub(super) fn needs_loads(&self, ask: &Ask<'_>, tenant: Name) -> bool {
        self.flows
            .get(&tenant)
            .is_some_and(|flow| flow.first_lines().into_iter().all(|model| ask.needs_load(model)))
    }

    /// Nothing goes before its turns.
    pub(super) fn is_plain(&self) -> bool {
        self.returned.is_empty() && self.pressing.is_empty()
    }

    /// Finds who goes before its turn: whose head presses and can still be in time, within the allowance; and who was
    /// not served for its longest wait.
    pub(super) fn find_pressing(&mut self, now: i64, busy: i64) {
        self.pressing.clear();
        let Some((lowest, _)) = self.turns.first() else { return };
        let last_part = self.sla / LAST_PART;
        self.most = lowest + last_part * THOUSAND * busy.max(1);
        let till = now + last_part;
        let near = self.limits.iter().take_while(|(limit, _)| *limit <= till).take(LOOKAHEAD);
        for (limit, tenant) in near.copied().collect::<Vec<_>>() {
            if limit <= now {
                self.place(tenant, now);
            }
            let Some((tag, limit)) = self.flows.get(&tenant).and_then(|flow| flow.place) else { continue };
            if limit <= till && (limit <= now || tag <= self.most) {
                self.pressing.push((limit, tenant));
            }
        }
    }

    /// Whose turn it is: of the lowest tag's tenants the one that is to be served first, as far as can be seen.
    pub(super) fn first(&self) -> Option<Name> {
        let (lowest, _) = *self.turns.first()?;
        let first = self.limits.first().map(|(_, tenant)| *tenant);
        first.filter(|tenant| self.turns.contains(&(lowest, *tenant))).or_else(|| {
            let equal = self.turns.iter().take(LOOKAHEAD).filter(|(tag, _)| *tag == lowest);
            let limit =
                |tenant: Name| self.flows.get(&tenant).and_then(|flow| flow.place).map_or(0, |place| place.1);
            equal.map(|(_, tenant)| *tenant).min_by_key(|tenant| limit(*tenant))
        })
    }

    /// When the first that is served must start; one that is late, as if it had come when its tenant was last served.
    pub(super) fn deadline(&self, now: i64) -> i64 {
        if let Some((due, ..)) = self.returned.first() {
            return *due;
        }
        if let Some((limit, _)) = self.pressing.first() {
            return *limit;
        }
        let flow = self.first().and_then(|tenant| self.flows.get(&tenant));
        let Some((flow, (_, limit))) = flow.and_then(|flow| Some((flow, flow.place?))) else {
            return i64::MAX;
        };
        flow.head().filter(|head| *head > now).unwrap_or(limit - (MAX_WAIT - 1) * self.sla)
    }

    /// Puts a tenant where its head belongs. One that comes in starts no lower than the clock.
    pub(super) fn place(&mut self, tenant: Name, now: i64) {
        let Some(flow) = self.flows.get_mut(&tenant) else { return };
        let Some(head) = flow.head() else { return };
        let (tag, old) = match flow.place {
            Some((tag, old)) => {
                self.turns.remove(&(tag, tenant));
                self.limits.remove(&(old, tenant));
                (tag, old)
            }
            None => {
                let left = self.left.remove(&tenant).unwrap_or_default();
                (left.max(self.clock), i64::MIN)
            }
        };
        let limit = if head > now { head } else { old.max(head + (MAX_WAIT - 1) * self.sla) };
        flow.place = Some((tag, limit));
        self.turns.insert((tag, tenant));
        self.limits.insert((limit, tenant));
    }

    /// A tenant got a task: it moves on by its charge.
    pub(super) fn serve(&mut self, tenant: Name, charge: i64, now: i64) {
        let Some(flow) = self.flows.get_mut(&tenant) else { return };
        let Some((tag, limit)) = flow.place.take() else { return };
        self.clock = self.turns.first().map_or(0, |(lowest, _)| *lowest).max(self.clock);
        self.turns.remove(&(tag, tenant));
        self.limits.remove(&(limit, tenant));
        let after = tag + charge;
        if let Some(head) = flow.head() {
            let limit = if head > now { head } else { now + MAX_WAIT * self.sla };
            flow.place = Some((after, limit));
            self.turns.insert((after, tenant));
            self.limits.insert((limit, tenant));
        } else {
            self.left.insert(tenant, after);
        }
    }

    /// A tenant pays for more than it was charged, or less.
    pub(super) fn correct(&mut self, tenant: Name, delta: i64) {
        let Some(flow) = self.flows.get_mut(&tenant) else { return };
        if let Some((tag, _)) = &mut flow.place {
            self.turns.remove(&(*tag, tenant));
            *tag += delta;
            self.turns.insert((*tag, tenant));
        } else if let Some(tag) = self.left.get_mut(&tenant) {
            *tag += delta;
        }
    }
}
