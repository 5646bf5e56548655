//! Machines come, and go when the market takes them.
use policy::{Action, Capacity, Health, Order, Phase, Sample, Time, Worker, WorkerId};

use super::{Body, Session, World, events::Event, number_of, worker_id};
use crate::{contenders::Scaler, lanes::Grant};

/// The share of machines that are cut off where a zone vanishes.
const CUT_OFF: f64 = 0.25;

impl World<'_> {
    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::Start { capacity, zone, n, model } => {
                for _ in 0..*n {
                    self.create(*capacity, zone.as_deref(), model.as_deref());
                }
            }
            Action::Retire { worker } => {
                // The queue refuses if it has claimed in the meantime.
                self.with(worker, |world, number| {
                    if world.workers.get(&number).is_some_and(|body| body.held.is_none()) {
                        world.leave(number);
                    }
                });
            }
            Action::Hold { worker } => self.order(worker, Order::Hold),
            Action::Resume { worker } => {
                self.order(worker, Order::Work);
                self.with(worker, Self::claim);
            }
            Action::Doom { worker, .. } => self.order(worker, Order::Doomed),
            Action::Evict { worker } => self.with(worker, Self::leave),
        }
    }

    fn with(&mut self, id: &WorkerId, act: impl FnOnce(&mut Self, u32)) {
        if let Some(number) = number_of(id).filter(|number| self.workers.contains_key(number)) {
            act(self, number);
        }
    }

    fn order(&mut self, id: &WorkerId, order: Order) {
        self.with(id, |world, number| {
            if let Some(body) = world.workers.get_mut(&number) {
                body.seen.order = order;
            }
        });
    }

    fn create(&mut self, capacity: Capacity, zone: Option<&str>, model: Option<&str>) {
        self.created += 1;
        self.outcome.starts += 1;
        let setup = self.setup;
        let classes = setup.pool.policy.classes.iter().enumerate();
        let serves = classes.filter(|(_, class)| class.capacity.runs_on(capacity));
        let seen = Worker {
            zone: zone.map(str::to_owned),
            model: model.map(str::to_owned),
            ..Worker::new(worker_id(capacity, self.created), capacity, self.now)
        };
        let body = Body {
            seen,
            zone: zone.and_then(|name| setup.market.zones.iter().position(|zone| zone.name == name)),
            classes: serves.map(|(index, _)| index).collect(),
            model: model.and_then(|name| setup.work.models.iter().position(|model| model == name)),
            held: None,
            paid_from: None,
            asks: false,
            silent: false,
        };
        self.workers.insert(self.created, body);
        let at = self.now.plus(setup.pool.pace.draw_order(&mut self.random));
        self.events.push(at, Event::Ask(self.created));
    }

    pub(super) fn ask(&mut self, number: u32) {
        let Some(body) = self.workers.get_mut(&number) else { return };
        body.asks = true;
        let zone = body.zone;
        match (body.seen.capacity, zone) {
            (Capacity::OnDemand, _) => self.grant_machine(number),
            (Capacity::Spot, Some(zone)) => self.serve_askers(zone),
            (Capacity::Spot, None) => {}
        }
    }

    /// Gives a zone's machines to those who ask, who came first first.
    fn serve_askers(&mut self, zone: usize) {
        let free = (self.offered[zone] as usize).saturating_sub(self.machines_in(zone).len());
        let asks = self.workers.iter().filter(|(_, body)| body.asks && body.zone == Some(zone));
        let asking: Vec<u32> = asks.map(|(number, _)| *number).take(free).collect();
        for number in asking {
            self.grant_machine(number);
        }
    }

    /// Spot workers in a zone that have a machine and weren't told that it goes.
    fn machines_in(&self, zone: usize) -> Vec<u32> {
        let there = |body: &Body| {
            let doomed = matches!(body.seen.health, Health::Doomed { .. });
            body.zone == Some(zone) && body.paid_from.is_some() && !doomed && !body.silent
        };
        let spot = self.workers.iter().filter(|(_, body)| body.seen.capacity == Capacity::Spot);
        spot.filter(|(_, body)| there(body)).map(|(number, _)| *number).collect()
    }

    fn grant_machine(&mut self, number: u32) {
        let pace = self.setup.pool.pace;
        let Some(body) = self.workers.get_mut(&number) else { return };
        body.asks = false;
        body.paid_from = Some(self.now);
        body.seen.phase = Phase::Starting { scheduled: self.now };
        body.seen.node = Some(body.seen.id.0.clone());
        let load = if body.model.is_some() { pace.load } else { std::time::Duration::ZERO };
        self.outcome.load_ms += u64::try_from(load.as_millis()).unwrap_or_default();
        // The node is gone with its worker, so none gets a machine that was there before.
        let took = self.now.since(body.seen.created);
        self.placed.push(Sample::Placed { capacity: body.seen.capacity, took });
        let at = self.now.plus(pace.draw_boot(&mut self.random) + load);
        self.events.push(at, Event::Ready(number));
    }

    pub(super) fn ready(&mut self, number: u32, scaler: &mut dyn Scaler) {
        let load = self.setup.pool.pace.load;
        let Some(body) = self.workers.get_mut(&number).filter(|body| !body.silent) else { return };
        body.seen.phase = Phase::Idle { since: self.now };
        let load = if body.model.is_some() { load } else { std::time::Duration::ZERO };
        let took = self.now.since(body.seen.created).saturating_sub(load);
        scaler.learn(&Sample::Started { capacity: body.seen.capacity, took });
        self.claim(number);
    }

    pub(super) fn offer(&mut self, zone: usize, machines: u32) {
        self.offered[zone] = machines;
        self.serve_askers(zone);
    }

    /// A zone goes from so many machines to so many. Ours are any of them: each is hit alike.
    pub(super) fn lose(&mut self, zone: usize, from: u32, to: u32) {
        self.offered[zone] = to;
        let deadline = self.now.plus(self.setup.pool.pace.notice);
        let (mut all, mut hit) = (from, from - to);
        for number in self.machines_in(zone) {
            let is_hit = self.random.unit() * f64::from(all) < f64::from(hit);
            all = all.saturating_sub(1);
            if is_hit {
                hit = hit.saturating_sub(1);
                self.doom(number, deadline);
            }
        }
    }

    /// A worker hears that its machine goes: it finishes what fits, and hands back the rest at once.
    fn doom(&mut self, number: u32, deadline: Time) {
        let now = self.now;
        let Some(body) = self.workers.get_mut(&number) else { return };
        body.seen.health = Health::Doomed { deadline };
        body.seen.order = Order::Doomed;
        self.outcome.losses += 1;
        let fits = body.held.is_none_or(|held| held.ends() <= deadline.max(now));
        if !fits {
            self.give_back(number);
        }
        self.events.push(deadline, Event::Stop(number));
    }

    pub(super) fn stop(&mut self, number: u32) {
        self.give_back(number);
        self.leave(number);
    }

    /// All machines of a zone vanish without notice. Some are only cut off: they go on, and come back with pictures
    /// that nobody wants any more.
    pub(super) fn strike(&mut self, zone: usize) {
        self.offered[zone] = 0;
        for number in self.machines_in(zone) {
            let at = self.now.plus(self.setup.pool.pace.draw_silence(&mut self.random));
            self.outcome.losses += 1;
            let held = self.workers.get(&number).and_then(|body| body.held).map(|held| held.grant);
            if self.random.unit() < CUT_OFF {
                self.cut_off.insert(number);
            } else {
                self.lose_held(number);
            }
            if let Some(body) = self.workers.get_mut(&number) {
                body.silent = true;
                body.seen.phase = if held.is_some() { Phase::Busy } else { body.seen.phase };
            }
            self.events.push(at, Event::Silence(number, held));
        }
    }

    /// Nobody heard of a worker for so long that its lease has ended; the operator takes it for dead.
    pub(super) fn notice_silence(&mut self, number: u32, held: Option<Grant>) {
        if let Some(body) = self.workers.get_mut(&number) {
            body.seen.health = Health::Gone;
        }
        if let Some(grant) = held {
            self.requeue(grant);
        }
    }

    /// A worker and its machine are gone.
    pub(super) fn leave(&mut self, number: u32) {
        let Some(body) = self.workers.remove(&number) else { return };
        let Some(from) = body.paid_from else { return };
        let market = self.setup.market;
        let cost = match (body.seen.capacity, body.zone) {
            (Capacity::Spot, Some(zone)) => market.zones[zone].price.cost(from, self.now),
            _ => market.on_demand * self.now.since(from).as_secs_f64() / 3600.0,
        };
        let capacity = body.seen.capacity;
        self.outcome.sessions.push(Session { capacity, zone: body.zone, from, to: self.now, cost });
        if let (Capacity::Spot, Some(zone)) = (capacity, body.zone) {
            self.serve_askers(zone);
        }
    }
}
