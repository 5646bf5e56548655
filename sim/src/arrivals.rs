//! The work: who asks for what, and when.
use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use policy::{Class, Time};

use crate::random::Random;

/// How far a task's run time lies from what its steps and size tell of it: standard deviation of the logarithm.
const UNTOLD: f64 = 0.05;
/// Units of work a second of a task amounts to.
pub(crate) const UNITS_PER_SECOND: f64 = 5.0;
/// No task is taken for shorter or longer, seconds.
const SECONDS: std::ops::RangeInclusive<f64> = 0.01..=86_400.0;

/// One image to be made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    /// When it is asked for.
    pub(crate) at: Time,
    /// Index into the workload's tenants.
    pub(crate) tenant: usize,
    /// Index into the pool's classes.
    pub(crate) class: usize,
    /// Index into the workload's models.
    pub(crate) model: usize,
    /// Engine milliseconds it takes, its model being loaded.
    pub(crate) exec: u64,
    /// What its steps and size tell of that, as the queue rounds it.
    pub(crate) units: f64,
}

/// All work of a run, by time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Workload {
    /// Names of tenants.
    pub(crate) tenants: Vec<String>,
    /// Names of models.
    pub(crate) models: Vec<String>,
    /// The images.
    pub(crate) tasks: Vec<Task>,
}

/// One line of a CSV file, or what stands for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arrival {
    /// Seconds since the beginning.
    pub(crate) time_s: f64,
    /// Whose.
    pub(crate) tenant: String,
    /// The class's name.
    pub(crate) class: String,
    /// The model's name.
    pub(crate) model: String,
    /// Engine seconds.
    pub(crate) exec_s: f64,
}

impl Workload {
    /// Reads `time_s,tenant,class,model,exec_s` with that header, in any order of times.
    ///
    /// # Errors
    /// When the file can't be read, and for the first line that makes no sense, with its number.
    pub(crate) fn read(file: &Path, classes: &[Class], seed: u64) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
        Self::parse(&text, classes, seed).with_context(|| format!("in {}", file.display()))
    }

    /// As [`read`](Self::read), from the text.
    pub(crate) fn parse(text: &str, classes: &[Class], seed: u64) -> Result<Self> {
        let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        let header = lines.next().map(|(_, line)| line.trim_start_matches('\u{feff}').replace(' ', ""));
        ensure!(
            header.as_deref() == Some("time_s,tenant,class,model,exec_s"),
            "line 1 must be the header time_s,tenant,class,model,exec_s"
        );
        let mut arrivals = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            arrivals.push(Arrival::parse(line, classes).with_context(|| format!("line {number}: {line:?}"))?);
        }
        ensure!(!arrivals.is_empty(), "there are no arrivals after the header");
        Ok(Self::of(arrivals, classes, seed))
    }

    /// Sorts arrivals by time, and works out what their steps and size would tell of them. Classes that the pool
    /// doesn't have must have been refused before.
    pub(crate) fn of(mut arrivals: Vec<Arrival>, classes: &[Class], seed: u64) -> Self {
        arrivals.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
        let mut random = Random::part(seed, 1);
        let (mut tenants, mut models) = (Names::default(), Names::default());
        let tasks = arrivals.iter().filter_map(|arrival| {
            let class = classes.iter().position(|class| class.name == arrival.class)?;
            Some(Task {
                at: Time::from_millis(millis(arrival.time_s)),
                tenant: tenants.index(&arrival.tenant),
                class,
                model: models.index(&arrival.model),
                exec: millis(arrival.exec_s),
                units: two_digits(arrival.exec_s * UNITS_PER_SECOND * random.around_one(UNTOLD)),
            })
        });
        let tasks = tasks.collect();
        Self { tenants: tenants.list, models: models.list, tasks }
    }

    /// Engine seconds of all of it.
    pub(crate) fn seconds(&self) -> f64 {
        self.tasks.iter().map(|task| task.exec as f64 / 1000.0).sum()
    }

    /// From the beginning to the last arrival.
    pub(crate) fn span(&self) -> Time {
        self.tasks.last().map_or(Time::default(), |task| task.at)
    }
}

impl Arrival {
    fn parse(line: &str, classes: &[Class]) -> Result<Self> {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [time, tenant, class, model, exec] = fields[..] else {
            bail!("want the 5 fields time_s,tenant,class,model,exec_s, there are {}", fields.len());
        };
        let time_s: f64 = time.parse().with_context(|| format!("time_s {time:?} is not a number"))?;
        let exec_s: f64 = exec.parse().with_context(|| format!("exec_s {exec:?} is not a number"))?;
        ensure!((0.0..=1e9).contains(&time_s), "time_s is {time_s}: want seconds, 0 to 1e9");
        ensure!(SECONDS.contains(&exec_s), "exec_s is {exec_s}: want {SECONDS:?} seconds");
        let known: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
        ensure!(known.contains(&class), "class {class:?} is none of {}", known.join(", "));
        Ok(Self { time_s, tenant: tenant.into(), class: class.into(), model: model.into(), exec_s })
    }
}

/// Names by index.
#[derive(Debug, Default)]
struct Names {
    list: Vec<String>,
    known: HashMap<String, usize>,
}

impl Names {
    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.known.get(name) {
            return *index;
        }
        self.known.insert(name.to_owned(), self.list.len());
        self.list.push(name.to_owned());
        self.list.len() - 1
    }
}

/// Seconds to milliseconds; nothing below zero.
pub(crate) fn millis(seconds: f64) -> u64 {
    // `as` saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let millis = (seconds * 1000.0).round() as u64;
    millis
}

/// As the queue rounds units.
fn two_digits(value: f64) -> f64 {
    let step = 10f64.powf(value.log10().floor() - 1.0);
    let rounded = (value / step).round() * step;
    (rounded * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Pool;

    fn parse(text: &str) -> Result<Workload> {
        Workload::parse(text, &Pool::standard().policy.classes, 1)
    }

    #[test]
    fn arrivals_are_sorted_and_named() {
        let workload = parse(
            "time_s,tenant,class,model,exec_s\n7.5,acme,relaxed,xl,12\n\n 1 , b , standard , sd15 , 0.5\n",
        );
        let workload = workload.unwrap();
        let times: Vec<u64> = workload.tasks.iter().map(|task| task.at.as_millis()).collect();
        assert_eq!(times, [1000, 7500]);
        assert_eq!(
            (&workload.tenants[..], &workload.models[..]),
            (&["b".into(), "acme".into()][..], &["sd15".into(), "xl".into()][..])
        );
        assert_eq!((workload.tasks[1].exec, workload.tasks[0].exec), (12_000, 500));
        let units = workload.tasks[1].units;
        assert!((45.0..80.0).contains(&units), "{units}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        let line = |line: &str| format!("time_s,tenant,class,model,exec_s\n0,a,standard,m,1\n{line}\n");
        for (text, says) in [
            (String::new(), "header"),
            ("time_s,tenant\n".into(), "header"),
            ("time_s,tenant,class,model,exec_s\n".into(), "no arrivals"),
            (line("1,a,standard,m"), "line 3"),
            (line("soon,a,standard,m,1"), "time_s \"soon\" is not a number"),
            (line("-1,a,standard,m,1"), "time_s is -1"),
            (line("NaN,a,standard,m,1"), "time_s is NaN"),
            (line("1,a,standard,m,0"), "exec_s is 0"),
            (line("1,a,urgent,m,1"), "class \"urgent\" is none of immediate, standard, relaxed"),
        ] {
            let error = format!("{:#}", parse(&text).unwrap_err());
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
