//! The figures of all benchmarks, in one table and one file.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

/// Figure by key.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Key, aim, and whether more is better.
const AIMS: [(&str, f64, Better); 11] = [
    ("queue.lifecycle_per_s", 30_000.0, Better::More),
    ("queue.lifecycle_batch_per_s", 60_000.0, Better::More),
    ("queue.p99_ms", 5.0, Better::Less),
    ("queue.growth", 1.3, Better::Less),
    ("control.jobs_per_s", 150.0, Better::More),
    ("control.jobs_vs_ceiling", 0.6, Better::More),
    ("control.status_writes_per_job", 3.0, Better::Less),
    ("control.burst_to_pods_p99_ms", 250.0, Better::Less),
    ("control.rss_mb_10k", 40.0, Better::Less),
    ("worker.overhead", 1.01, Better::Less),
    ("worker.segments_overhead", 1.01, Better::Less),
];

#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
}

/// Adds what the other benchmarks wrote, prints the table and writes the summary.
pub(crate) fn finish(mut figures: Figures) -> Result<()> {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench"));
    fs::create_dir_all(directory)?;
    for part in ["queue.json", "worker.json"] {
        let file = directory.join(part);
        if let Ok(text) = fs::read_to_string(&file) {
            let part: Figures =
                serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))?;
            figures.extend(part);
        }
    }
    println!("{:34} {:>12} {:>12}", "figure", "measured", "aim");
    for (key, aim, better) in AIMS {
        let aim = match better {
            Better::More => format!(">= {aim}"),
            Better::Less => format!("<= {aim}"),
        };
        match figures.get(key) {
            Some(value) => println!("{key:34} {value:>12.3} {aim:>12}"),
            None => println!("{key:34} {:>12} {aim:>12}", "not measured"),
        }
    }
    let summary = directory.join("summary.json");
    fs::write(&summary, serde_json::to_vec_pretty(&figures)?)
        .with_context(|| format!("write {}", summary.display()))
}
