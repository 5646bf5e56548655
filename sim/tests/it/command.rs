//! The program, as people run it.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)] // helpers of tests, which the lints' exceptions miss
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn traces() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/v100")
}

fn sim(arguments: &[&str], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).arg("--out").arg(out).output().unwrap()
}

/// Three images a minute for twenty minutes, from minute 60 on: the recorded zone is there by then.
fn some_arrivals(folder: &Path) -> PathBuf {
    let lines = (0..60).map(|i| {
        let class = if i % 3 == 0 { "relaxed" } else { "standard" };
        format!("{},tenant-{},{class},model-{},{}\n", 3600 + 20 * i, i % 2, i % 2, 5 + i % 7)
    });
    let file = folder.join("arrivals.csv");
    fs::write(&file, format!("time_s,tenant,class,model,exec_s\n{}", lines.collect::<String>())).unwrap();
    file
}

#[test]
fn others_data_gives_the_same_output_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let arrivals = some_arrivals(folder.path());
    let (zone, price) = (traces().join("us-west-2c.json.gz"), traces().join("prices/us-west-2c.json.gz"));
    let run = |name: &str, seed: &str| {
        let out = folder.path().join(name);
        let arguments = [
            "--arrivals",
            arrivals.to_str().unwrap(),
            "--seed",
            seed,
            "--spot",
            zone.to_str().unwrap(),
            price.to_str().unwrap(),
        ];
        let output = sim(&arguments, &out);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let files =
            ["own.json", "fleet-own.svg", "cost-own.svg"].map(|name| fs::read(out.join(name)).unwrap());
        (output.stdout, files)
    };
    let first = run("first", "1");
    assert_eq!(first, run("again", "1"));
    assert_ne!(first, run("other", "2"));
    let table = String::from_utf8(first.0).unwrap();
    for name in
        ["this policy", "KEDA, 1 per worker", "KEDA, 5 per worker", "greedy spot", "static", "lower bound"]
    {
        assert!(table.contains(name), "{table}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.csv");
    fs::write(&bad, "time_s,tenant,class,model,exec_s\n1,a,standard,m,fast\n").unwrap();
    let output = sim(&["--arrivals", bad.to_str().unwrap()], folder.path());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(error.contains("bad.csv") && error.contains("line 2") && error.contains("\"fast\""), "{error}");

    let output = sim(&["--spot", "nowhere.json"], folder.path());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("nowhere.json"), "{error}");
}

#[test]
fn a_zone_that_vanishes_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = sim(&["zone-kill", "--trials", "4"], folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("zone_kill.json")).unwrap()).unwrap();
    let figure = |key: &str| figures[format!("faults.zone_kill_{key}")].as_f64().unwrap();
    assert_eq!((figure("lost"), figure("doubled")), (0.0, 0.0));
    // All sixteen were hit, and some came back with pictures that somebody else had been given.
    assert!(figure("workers_hit") >= 16.0 && figure("refused") > 0.0);
    assert!(figure("redone") < 0.05);
}
