//! Reads a scenario file: a pool and the events that happen to it.
use std::{collections::BTreeMap, time::Duration};

use policy::{Capacity, CapacityRule, Class, Fleet, Health, Policy, Scaling};

use crate::world::{Fault, Pace, World, secs};

pub(crate) struct Story {
    pub(crate) policy: Policy,
    pub(crate) pace: Pace,
    pub(crate) new_pool: bool,
    events: Vec<(u64, Event)>,
    until: u64,
}

#[derive(Debug, Clone)]
enum Event {
    Images { n: u32, class: String, model: String },
    Machines { capacity: Capacity, zone: String, most: Option<usize> },
    Fault { capacity: Capacity, zone: String, fault: Option<Fault> },
    AutoscalerReports,
    Bucket { refuses: bool },
    Template(String),
    Rename { class: String, to: String },
    Dies { zone: String },
    Notice { zone: String, left: Duration },
    Suspended(bool),
    Readable(bool),
}

impl Story {
    pub(crate) fn read(text: &str) -> Self {
        let mut story = Self {
            policy: Policy {
                classes: Vec::new(),
                spot: None,
                on_demand: None,
                scaling: Scaling::default(),
                suspended: false,
                template: "first".into(),
            },
            pace: Pace::default(),
            new_pool: false,
            events: Vec::new(),
            until: 0,
        };
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(story.line(&words).is_some(), "can't read {line:?}");
        }
        story.events.sort_by_key(|(at, _)| *at);
        story
    }

    fn line(&mut self, words: &[&str]) -> Option<()> {
        match words {
            ["spot", range, "price", price, zones @ ..] => {
                self.policy.spot = Some(fleet(range, price, zones)?);
            }
            ["on-demand", range, "price", price, zones @ ..] => {
                self.policy.on_demand = Some(fleet(range, price, zones)?);
            }
            ["class", name, sla, capacity] => self.policy.classes.push(Class {
                name: (*name).into(),
                sla: secs(seconds(sla)?),
                capacity: match *capacity {
                    "on-demand" => CapacityRule::OnDemand,
                    "spot" => CapacityRule::Spot,
                    "spot-then-on-demand" => CapacityRule::SpotThenOnDemand,
                    _ => return None,
                },
            }),
            ["engine", "starts", "within", time] => self.policy.scaling.engine_start = secs(seconds(time)?),
            ["idle", idle] => self.policy.scaling.idle_after = secs(seconds(idle)?),
            ["machine", machine, "boot", boot, "load", load, "image", image] => {
                self.pace = Pace {
                    machine: seconds(machine)?,
                    boot: seconds(boot)?,
                    load: seconds(load)?,
                    image: seconds(image)?,
                };
            }
            ["new", "pool"] => self.new_pool = true,
            ["at", time, event @ ..] => self.events.push((seconds(time)?, Event::read(event)?)),
            ["every", step, "from", from, "to", to, event @ ..] => {
                let (event, step) = (Event::read(event)?, seconds(step)?);
                let times = (seconds(from)?..seconds(to)?).step_by(usize::try_from(step).ok()?);
                self.events.extend(times.map(|at| (at, event.clone())));
            }
            ["until", until] => self.until = seconds(until)?,
            _ => return None,
        }
        Some(())
    }

    /// Plays the story and returns the world, whose log is the outcome.
    pub(crate) fn play(self) -> World {
        let make = if self.new_pool { World::new } else { World::learned };
        let mut world = make(self.policy, self.pace);
        let mut events = self.events.into_iter().peekable();
        for second in 0..self.until {
            while let Some((_, event)) = events.next_if(|(at, _)| *at <= second) {
                event.apply(&mut world);
            }
            world.tick();
        }
        world
    }
}

impl Event {
    fn read(words: &[&str]) -> Option<Self> {
        Some(match words {
            [n, "images" | "image", class, model] => {
                Self::Images { n: n.parse().ok()?, class: (*class).into(), model: (*model).into() }
            }
            ["no", capacity, "in", zone] => machines(capacity, zone, Some(0))?,
            ["at", "most", most, capacity, "in", zone] => machines(capacity, zone, Some(most.parse().ok()?))?,
            [capacity @ ("spot" | "on-demand"), "in", zone] => machines(capacity, zone, None)?,
            [capacity, "in", zone, "refuses", "Pods"] => fault(capacity, zone, Some(Fault::Refuses))?,
            [capacity, "in", zone, "pulls", "no", "images"] => fault(capacity, zone, Some(Fault::NoImage))?,
            [capacity, "in", zone, "never", "comes", "up"] => fault(capacity, zone, Some(Fault::Silent))?,
            [capacity, "in", zone, "breaks", "workers"] => fault(capacity, zone, Some(Fault::Broken))?,
            [capacity, "in", zone, "works"] => fault(capacity, zone, None)?,
            ["the", "autoscaler", "reports"] => Self::AutoscalerReports,
            ["the", "bucket", "refuses"] => Self::Bucket { refuses: true },
            ["the", "bucket", "works"] => Self::Bucket { refuses: false },
            ["template", name] => Self::Template((*name).into()),
            ["class", class, "becomes", to] => Self::Rename { class: (*class).into(), to: (*to).into() },
            ["zone", zone, "dies"] => Self::Dies { zone: (*zone).into() },
            ["zone", zone, "gets", left, "notice"] => {
                Self::Notice { zone: (*zone).into(), left: secs(seconds(left)?) }
            }
            ["suspend"] => Self::Suspended(true),
            ["resume"] => Self::Suspended(false),
            ["queue", "unreadable"] => Self::Readable(false),
            ["queue", "readable"] => Self::Readable(true),
            _ => return None,
        })
    }

    fn apply(self, world: &mut World) {
        match self {
            Self::Images { n, class, model } => world.arrive(n, &class, &model),
            Self::Machines { capacity, zone, most } => {
                let some = most.map_or_else(|| "there are".to_owned(), |most| format!("at most {most}"));
                world.note(&format!("* {some} {capacity} machines{}", place(&zone)));
                world.limit(capacity, &zone, most);
            }
            Self::Fault { capacity, zone, fault } => {
                let what = fault.map_or_else(|| "no fault".to_owned(), |fault| format!("{fault:?}"));
                world.note(&format!("* {capacity} machines{}: {what}", place(&zone)));
                match fault {
                    Some(fault) => drop(world.market.faults.insert((capacity, zone), fault)),
                    None => drop(world.market.faults.remove(&(capacity, zone))),
                }
            }
            Self::AutoscalerReports => world.market.autoscaler_reports = true,
            Self::Bucket { refuses } => {
                world.note(if refuses { "* the bucket refuses" } else { "* the bucket works" });
                world.market.bucket_refuses = refuses;
            }
            Self::Template(name) => {
                world.note(&format!("* template {name}"));
                world.policy.template = name;
                world.change();
            }
            Self::Rename { class, to } => {
                world.note(&format!("* class {class} becomes {to}"));
                for known in world.policy.classes.iter_mut().filter(|known| known.name == class) {
                    known.name.clone_from(&to);
                }
                world.change();
            }
            Self::Dies { zone } => {
                world.note(&format!("* zone {zone} dies"));
                world.set_zone_health(&zone, Health::Gone);
            }
            Self::Notice { zone, left } => {
                world.note(&format!("* zone {zone} gets {}s notice", left.as_secs()));
                world.set_zone_health(&zone, Health::Doomed { deadline: world.now.plus(left) });
            }
            Self::Suspended(suspended) => {
                world.note(if suspended { "* suspended" } else { "* resumed" });
                world.policy.suspended = suspended;
                world.change();
            }
            Self::Readable(readable) => {
                world.note(if readable { "* the queue is back" } else { "* the queue can't be read" });
                world.queue_readable = readable;
                world.change();
            }
        }
    }
}

fn machines(capacity: &str, zone: &str, most: Option<usize>) -> Option<Event> {
    Some(Event::Machines { capacity: capacity_of(capacity)?, zone: zone_of(zone), most })
}

fn fault(capacity: &str, zone: &str, fault: Option<Fault>) -> Option<Event> {
    Some(Event::Fault { capacity: capacity_of(capacity)?, zone: zone_of(zone), fault })
}

fn capacity_of(word: &str) -> Option<Capacity> {
    Capacity::ALL.into_iter().find(|capacity| capacity.to_string() == word)
}

/// A fleet without zones has one zone, which is written `-`.
fn zone_of(word: &str) -> String {
    if word == "-" { String::new() } else { word.to_owned() }
}

fn place(zone: &str) -> String {
    if zone.is_empty() { String::new() } else { format!(" in zone {zone}") }
}

/// `0..20 price 0.90 zones a b`
fn fleet(range: &str, price: &str, zones: &[&str]) -> Option<Fleet> {
    let (min, max) = range.split_once("..")?;
    let zones = match zones {
        [] => Vec::new(),
        ["zones", names @ ..] => names.iter().map(|name| (*name).to_owned()).collect(),
        _ => return None,
    };
    let (whole, cents) = price.split_once('.')?;
    let price_per_hour_micros = whole.parse::<u64>().ok()? * 1_000_000 + cents.parse::<u64>().ok()? * 10_000;
    Some(Fleet {
        min: min.parse().ok()?,
        max: max.parse().ok()?,
        price_per_hour_micros,
        zones,
        zone_prices: BTreeMap::new(),
    })
}

/// `90s`, `5m`, `2h`
fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.len() - 1);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * factor)
}
