//! The figures of all benchmarks, in one table and one file.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

/// Figure by key.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Keys and aims.
const AIMS: [(&str, Aim); 32] = [
    ("queue.single_per_s", Aim::None),
    ("queue.single_vs_bullmq", Aim::AtLeast(1.5)),
    ("queue.lifecycle_per_s", Aim::AtLeast(30_000.0)),
    ("queue.lifecycle_batch_per_s", Aim::AtLeast(60_000.0)),
    ("queue.lifecycle_vs_bullmq", Aim::AtLeast(5.0)),
    ("queue.p99_ms", Aim::AtMost(5.0)),
    ("queue.reap_ms_100k", Aim::AtMost(5.0)),
    ("queue.growth", Aim::AtMost(1.3)),
    ("control.jobs_per_s", Aim::AtLeast(150.0)),
    ("control.jobs_vs_ceiling", Aim::AtLeast(0.85)),
    ("control.status_writes_per_job", Aim::AtMost(3.0)),
    ("control.status_writes_per_running_job_per_minute", Aim::AtMost(1.0)),
    ("control.status_writes_per_waiting_pool_per_minute", Aim::AtMost(2.0)),
    ("control.burst_to_pods_p99_ms", Aim::AtMost(250.0)),
    ("control.reject_ms_p99", Aim::AtMost(1000.0)),
    ("control.rss_mb_10k", Aim::AtMost(40.0)),
    ("control.rss_mb_100k_ended", Aim::AtMost(90.0)),
    ("api.submit_per_s", Aim::None),
    ("api.submit_vs_ceiling", Aim::AtLeast(0.8)),
    ("api.submit_p99_ms", Aim::AtMost(50.0)),
    ("api.read_per_s", Aim::AtLeast(15_000.0)),
    ("api.event_lag_ms_p99", Aim::AtMost(300.0)),
    ("api.added_latency_ms", Aim::AtMost(100.0)),
    ("api.rss_mb", Aim::AtMost(80.0)),
    ("api.duplicates", Aim::AtMost(0.0)),
    ("worker.overhead", Aim::AtMost(1.01)),
    ("worker.segments_overhead", Aim::AtMost(1.01)),
    ("worker.gap_ms", Aim::AtMost(10.0)),
    ("worker.rss_mb", Aim::AtMost(150.0)),
    ("worker.input_fetches_per_job", Aim::AtMost(4.0)),
    ("worker.disk_growth_mb", Aim::AtMost(50.0)),
    ("worker.history_growth", Aim::AtMost(10.0)),
];

/// Ratios of two figures: key, what is divided, by what.
const RATIOS: [(&str, &str, &str); 2] = [
    ("queue.single_vs_bullmq", "queue.single_per_s", "queue.bullmq_single_per_s"),
    ("queue.lifecycle_vs_bullmq", "queue.lifecycle_batch_per_s", "queue.bullmq_bulk_per_s"),
];

#[derive(Clone, Copy)]
enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// Published for comparison.
    None,
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
    for (key, of, by) in RATIOS {
        if let (Some(of), Some(by)) = (figures.get(of), figures.get(by)) {
            figures.insert(key.to_owned(), of / by);
        }
    }
    println!("{:50} {:>12} {:>12}", "figure", "measured", "aim");
    for (key, aim) in AIMS {
        let aim = match aim {
            Aim::AtLeast(aim) => format!(">= {aim}"),
            Aim::AtMost(aim) => format!("<= {aim}"),
            Aim::None => String::new(),
        };
        match figures.get(key) {
            Some(value) => println!("{key:50} {value:>12.3} {aim:>12}"),
            None => println!("{key:50} {:>12} {aim:>12}", "not measured"),
        }
    }
    let summary = directory.join("summary.json");
    fs::write(&summary, serde_json::to_vec_pretty(&figures)?)
        .with_context(|| format!("write {}", summary.display()))
}

/// The 99th percentile, if there is anything.
pub(crate) fn p99(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() * 99 / 100).copied()
}
