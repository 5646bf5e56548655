//! Which steps were taken, in a file that outlives the process: what was worked on twice shows there, whoever died.
use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::sampler::Sampling;

/// One line of JSON a step. Several simulators may share a file.
pub(crate) struct Record(Option<File>);

impl Record {
    pub(crate) fn open(file: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| format!("can't record steps in {}", path.display()))
        };
        Ok(Self(file.map(open).transpose()?))
    }

    /// A run's `step`-th step, from 1 on, is done; the line counts steps of the whole picture.
    pub(crate) fn step(&self, sampling: &Sampling, step: usize) {
        let Some(mut file) = self.0.as_ref() else { return };
        let step = sampling.start + step;
        let line = json!({ "prompt": sampling.positive.text, "seed": sampling.seed, "step": step });
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            tracing::error!(%error, "a step is missing in the record");
        }
    }
}
