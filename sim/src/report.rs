//! Figures, in one table and one file.
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

/// Figure by key.
pub(crate) type Figures = BTreeMap<String, f64>;

#[derive(Debug, Clone, Copy)]
enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

/// What the standard set is to show.
const AIMS: [(&str, Aim); 13] = [
    ("sim.gpu_hours_vs_keda1", Aim::AtMost(0.5)),
    ("sim.in_sla_h100", Aim::AtLeast(0.999)),
    ("sim.in_sla_v100", Aim::AtLeast(0.999)),
    ("sim.saving_v100", Aim::AtLeast(0.82)),
    ("sim.saving_h100", Aim::AtLeast(0.88)),
    ("sim.vs_optimum_h100", Aim::AtMost(1.05)),
    ("sim.vs_optimum_v100", Aim::AtMost(1.10)),
    ("sim.switches_per_image", Aim::AtMost(0.10)),
    ("sim.vs_greedy", Aim::AtMost(1.0)),
    ("sim.burst8x_in_sla", Aim::AtLeast(0.999)),
    ("sim.eta_error_p90", Aim::AtMost(0.10)),
    ("sim.zone_kill_redone", Aim::AtMost(0.05)),
    ("sim.zone_kill_lost", Aim::AtMost(0.0)),
];

/// Figures beside their aims.
pub(crate) fn table(figures: &Figures) -> String {
    let mut table = format!("{:28} {:>10} {:>10}\n", "figure", "measured", "aim");
    for (key, aim) in AIMS {
        let Some(value) = figures.get(key) else { continue };
        let (aim, met) = match aim {
            Aim::AtMost(aim) => (format!("<= {aim}"), *value <= aim),
            Aim::AtLeast(aim) => (format!(">= {aim}"), *value >= aim),
        };
        let _ = writeln!(table, "{key:28} {value:>10.4} {aim:>10}{}", if met { "" } else { "  short" });
    }
    table
}

/// Writes text into a file, and makes the folder for it.
///
/// # Errors
/// When it can't be written.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&file, text))
        .with_context(|| format!("can't write {}", file.display()))
}

/// Writes figures into a file.
///
/// # Errors
/// When it can't be written.
pub(crate) fn write_figures(folder: &Path, name: &str, figures: &Figures) -> Result<()> {
    write(folder, name, &(serde_json::to_string_pretty(figures)? + "\n"))
}
