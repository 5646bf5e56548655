//! One line a case, and the figures.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use e2e::faults::Verdict;

/// What was done, and what came of it.
pub(crate) struct Case {
    pub(crate) done: String,
    pub(crate) verdict: Verdict,
    /// More figures by key.
    pub(crate) figures: BTreeMap<String, f64>,
    /// Figures that are beyond what they may be, in words.
    beyond: Vec<String>,
}

impl Case {
    pub(crate) fn new(done: String, verdict: Verdict) -> Self {
        Self { done, verdict, figures: BTreeMap::new(), beyond: Vec::new() }
    }

    pub(crate) fn once(verdict: Verdict) -> Self {
        Self::new("once".to_owned(), verdict)
    }

    /// With a figure that may be as large as `most`.
    pub(crate) fn at_most(mut self, key: &str, figure: f64, most: f64) -> Self {
        if figure > most {
            self.beyond.push(format!("{key} is {figure}, and may be {most}"));
        }
        self.figures.insert(key.to_owned(), figure);
        self
    }
}

/// Gathers cases.
pub(crate) struct Report {
    filter: String,
    figures: BTreeMap<String, f64>,
    wrong: Vec<String>,
}

impl Report {
    pub(crate) fn new(filter: String) -> Self {
        println!(
            "{:44} {:>24} {:>5} {:>6} {:>5} {:>7} {:>7} {:>7}",
            "case", "done", "jobs", "images", "lost", "doubled", "redone", "seconds"
        );
        Self { filter, figures: BTreeMap::new(), wrong: Vec::new() }
    }

    /// Runs a case, unless it is filtered out. One that goes wrong does not stop the others.
    pub(crate) async fn case(&mut self, name: &str, run: impl AsyncFnOnce() -> Result<Case>) {
        if !self.selects(name) {
            return;
        }
        let begun = Instant::now();
        match run().await {
            Ok(case) => self.add(name, case, begun.elapsed()),
            Err(error) => {
                println!("{name:44} WRONG after {:.1} s", begun.elapsed().as_secs_f64());
                self.fail(name, &error);
            }
        }
    }

    /// Whether a case of this name is to be run.
    pub(crate) fn selects(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    /// Something went wrong.
    pub(crate) fn fail(&mut self, what: &str, error: &anyhow::Error) {
        self.wrong.push(format!("{what}: {error:#}"));
    }

    fn add(&mut self, name: &str, case: Case, took: Duration) {
        let Case { done, verdict, figures, beyond } = case;
        println!(
            "{name:44} {done:>24} {:5} {:6} {:5} {:7} {:6.2}% {:7.1}",
            verdict.jobs,
            verdict.images,
            verdict.lost,
            verdict.doubled,
            verdict.redone_share() * 100.0,
            took.as_secs_f64(),
        );
        if !verdict.is_clean() {
            self.wrong.push(format!("{name}: {verdict:#?}"));
        }
        self.wrong.extend(beyond.into_iter().map(|words| format!("{name}: {words}")));
        self.figures.extend(figures);
    }

    /// Writes the summary.
    ///
    /// # Errors
    /// When anything went wrong; it says what.
    pub(crate) fn finish(mut self) -> Result<()> {
        let target = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"));
        // The same figures of simulated trials, if there are any: the worse ones count.
        if let Ok(simulated) = fs::read(target.join("sim/zone_kill.json")) {
            let simulated: BTreeMap<String, f64> = serde_json::from_slice(&simulated)?;
            for (key, figure) in simulated {
                let worse = self.figures.entry(key).or_insert(figure);
                *worse = worse.max(figure);
            }
        }
        let directory = target.join("faults");
        fs::create_dir_all(&directory)?;
        let summary = directory.join("summary.json");
        fs::write(&summary, serde_json::to_vec_pretty(&self.figures)?)
            .with_context(|| format!("write {}", summary.display()))?;
        for (key, figure) in &self.figures {
            println!("{key:44} {figure:>12.4}");
        }
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("\n\n"));
        Ok(())
    }
}
