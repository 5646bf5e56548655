//! Spot machines: where and when they are to be had, and for how much.
use policy::Time;

/// All places a pool's workers may run in. A machine is one GPU.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Market {
    /// Where spot machines may be had.
    pub(crate) zones: Vec<Zone>,
    /// Price of an on-demand machine, per hour. There is always one.
    pub(crate) on_demand: f64,
    /// When the recording ends.
    pub(crate) span: Time,
}

/// One zone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Zone {
    /// Its name.
    pub(crate) name: String,
    /// Spot machines that can be had at once.
    pub(crate) machines: Steps<u32>,
    /// Price of one, per hour.
    pub(crate) price: Steps<f64>,
}

/// Something that changes now and then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps<T>(Vec<(Time, T)>);

impl<T: Copy + PartialEq + Default> Steps<T> {
    /// From values in the order of their times; what repeats is left out.
    pub(crate) fn new(values: impl IntoIterator<Item = (Time, T)>) -> Self {
        let mut steps: Vec<(Time, T)> = Vec::new();
        for (at, value) in values {
            if steps.last().is_none_or(|(_, last)| *last != value) {
                steps.push((at, value));
            }
        }
        Self(steps)
    }

    /// One value for ever.
    pub(crate) fn constant(value: T) -> Self {
        Self(vec![(Time::default(), value)])
    }

    /// The value at a time.
    pub(crate) fn at(&self, time: Time) -> T {
        let after = self.0.partition_point(|(at, _)| *at <= time);
        self.0[..after].last().map(|(_, value)| *value).unwrap_or_default()
    }

    /// Every change: when, from what, to what.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Time, T, T)> + '_ {
        self.0.windows(2).map(|pair| (pair[1].0, pair[0].1, pair[1].1))
    }

    /// From when to when it has which value, up to `end`.
    pub(crate) fn stretches(&self, end: Time) -> impl Iterator<Item = (Time, Time, T)> + '_ {
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([end]);
        self.0
            .iter()
            .zip(ends)
            .map(move |((from, value), to)| (*from, to.min(end), *value))
            .filter(|(f, t, _)| f < t)
    }
}

impl Steps<f64> {
    /// Its integral between two times; the values are per hour.
    pub(crate) fn cost(&self, from: Time, to: Time) -> f64 {
        let first = self.0.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        let mut sum = 0.0;
        for (i, (at, price)) in self.0.iter().enumerate().skip(first) {
            if *at >= to {
                break;
            }
            let until = self.0.get(i + 1).map_or(to, |(next, _)| (*next).min(to));
            sum += until.since((*at).max(from)).as_secs_f64() / 3600.0 * price;
        }
        sum
    }
}

impl Market {
    /// Spot machines that never go away.
    pub(crate) fn calm(zones: &[(&str, u32, f64)], on_demand: f64, span: Time) -> Self {
        let zones = zones.iter().map(|(name, machines, price)| Zone {
            name: (*name).to_owned(),
            machines: Steps::constant(*machines),
            price: Steps::constant(*price),
        });
        Self { zones: zones.collect(), on_demand, span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Time {
        Time::from_millis(s * 1000)
    }

    #[test]
    fn steps_are_read_between_their_changes() {
        let steps = Steps::new([(at(0), 3), (at(10), 3), (at(20), 0), (at(30), 5)]);
        assert_eq!([0, 19, 20, 29, 99].map(|s| steps.at(at(s))), [3, 3, 0, 0, 5]);
        assert_eq!(steps.changes().collect::<Vec<_>>(), [(at(20), 3, 0), (at(30), 0, 5)]);
        let stretches: Vec<_> = steps.stretches(at(25)).collect();
        assert_eq!(stretches, [(at(0), at(20), 3), (at(20), at(25), 0)]);
    }

    #[test]
    fn what_is_paid_follows_the_price() {
        let price = Steps::new([(at(0), 3600.0), (at(10), 7200.0), (at(20), 0.0)]);
        for (from, to, cost) in [(0, 5, 5.0), (5, 15, 15.0), (0, 100, 30.0), (30, 40, 0.0), (7, 7, 0.0)] {
            assert!((price.cost(at(from), at(to)) - cost).abs() < 1e-9, "{from} to {to}");
        }
    }
}
