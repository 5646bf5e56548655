//! Why one thing is done: `reason()` is the constant for machines, `Display` the sentence for people.
use std::{fmt, time::Duration};

use crate::Time;

/// Why one thing is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// The work would be late without it.
    Due {
        /// The class that asks for it.
        class: String,
        /// The tasks waiting or running.
        tasks: u64,
        /// Engine seconds of work in all.
        seconds: f64,
        /// When the tightest is due.
        due: Time,
        /// When the plan was made.
        now: Time,
    },
    /// Work waits and nobody is there.
    FirstWork {
        /// The tasks waiting.
        tasks: u64,
    },
    /// Urgent work waits and no on-demand worker is free.
    Immediate {
        /// Its class.
        class: String,
        /// The tasks waiting.
        tasks: u64,
    },
    /// Spot can't make it in time any more.
    FallBack {
        /// The class that may.
        class: String,
        /// Time left until it is due.
        left: Duration,
    },
    /// Spot is to carry again what on-demand does.
    TakeOver,
    /// The pool's minimum.
    Minimum,
    /// It sat idle.
    Idle {
        /// For so long.
        since: Duration,
    },
    /// The fleet is idle often enough to do with one less.
    Spare,
    /// Its work is gone before it came up.
    NotNeeded,
    /// The pool's maximum went down.
    OverMaximum,
    /// No machine for it in its zone; another zone is tried.
    ZoneShort {
        /// The zone.
        zone: String,
    },
    /// Spot carries the work again.
    SpotIsBack,
    /// On-demand work is over.
    OnDemandOver,
    /// It is needed again.
    NeededAgain,
    /// Its node may die.
    AtRisk,
    /// The sign cleared.
    RiskPassed,
    /// Its node will die.
    NodeDoomed {
        /// When.
        deadline: Time,
        /// When the plan was made.
        now: Time,
    },
    /// Its node or Pod is dead.
    NodeGone,
}

impl Why {
    /// For events and metric labels: one of a fixed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Due { .. } => "Due",
            Self::FirstWork { .. } => "FirstWork",
            Self::Immediate { .. } => "Immediate",
            Self::FallBack { .. } => "FallBack",
            Self::TakeOver => "TakeOver",
            Self::Minimum => "Minimum",
            Self::Idle { .. } => "Idle",
            Self::Spare => "Spare",
            Self::NotNeeded => "NotNeeded",
            Self::OverMaximum => "OverMaximum",
            Self::ZoneShort { .. } => "ZoneShort",
            Self::SpotIsBack => "SpotIsBack",
            Self::OnDemandOver => "OnDemandOver",
            Self::NeededAgain => "NeededAgain",
            Self::AtRisk => "AtRisk",
            Self::RiskPassed => "RiskPassed",
            Self::NodeDoomed { .. } => "NodeDoomed",
            Self::NodeGone => "NodeGone",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due { class, tasks, seconds, due, now } => {
                let (work, left) = (Span::seconds(*seconds), Until(*due, *now));
                write!(f, "{} with {work} of work, the tightest ({class}) due {left}", images(*tasks))
            }
            Self::FirstWork { .. } => f.write_str("an image waits and nobody is there"),
            Self::Immediate { class, tasks } => {
                write!(f, "{} of class {class}, and no on-demand worker is free soon enough", images(*tasks))
            }
            Self::FallBack { class, left } => {
                write!(f, "spot can't do {class} in time any more, {} before it is due", Span(*left))
            }
            Self::TakeOver => f.write_str("to take over from on-demand"),
            Self::Minimum => f.write_str("the pool's minimum"),
            Self::Idle { since } => write!(f, "idle for {}", Span(*since)),
            Self::Spare => f.write_str("the fleet is idle often enough to do with one less"),
            Self::NotNeeded => f.write_str("its work was taken before it came up"),
            Self::OverMaximum => f.write_str("above the pool's maximum"),
            Self::ZoneShort { zone } => write!(f, "no spot machine in zone {zone}, another is tried"),
            Self::SpotIsBack => f.write_str("spot carries the work again"),
            Self::OnDemandOver => f.write_str("no work needs on-demand any more"),
            Self::NeededAgain => f.write_str("needed again"),
            Self::AtRisk => f.write_str("its node may die"),
            Self::RiskPassed => f.write_str("its node is well again"),
            Self::NodeDoomed { deadline, now } => write!(f, "its node stops {}", Until(*deadline, *now)),
            Self::NodeGone => f.write_str("its node or Pod is dead"),
        }
    }
}

/// "1 image", "20 images".
pub(crate) fn images(n: u64) -> String {
    if n == 1 { "1 image".into() } else { format!("{n} images") }
}

/// A length of time for people: `45s`, `4m10s`, `2h05m`.
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) fn seconds(seconds: f64) -> Self {
        Self(Duration::try_from_secs_f64(seconds.round()).unwrap_or(Duration::MAX))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        match s {
            0..60 => write!(f, "{s}s"),
            60..3600 => write!(f, "{}m{:02}s", s / 60, s % 60),
            _ => write!(f, "{}h{:02}m", s / 3600, s / 60 % 60),
        }
    }
}

/// A point in time, seen from another: `in 4m10s`, `5s ago`, `now`.
pub(crate) struct Until(pub(crate) Time, pub(crate) Time);

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(time, now) = self;
        match time.cmp(now) {
            std::cmp::Ordering::Greater => write!(f, "in {}", Span(time.since(*now))),
            std::cmp::Ordering::Equal => f.write_str("now"),
            std::cmp::Ordering::Less => write!(f, "{} ago", Span(now.since(*time))),
        }
    }
}
