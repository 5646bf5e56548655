use std::{ffi::OsString, process::Command, time::Duration};

use testkit::{Process, wait_for};

fn sleeper() -> anyhow::Result<Process> {
    Process::spawn("sleep", [OsString::from("600")])
}

fn is_alive(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie is one that its parent has not asked after yet.
    !state.is_empty() && !state.contains(") Z ")
}

#[test]
fn a_process_ends_with_its_handle() {
    let process = sleeper().unwrap();
    let pid = process.pid();
    assert!(is_alive(pid));
    drop(process);
    assert!(!is_alive(pid));
}

#[test]
fn a_process_outlives_the_thread_that_started_it() {
    let process = std::thread::spawn(sleeper).join().unwrap().unwrap();
    assert!(process.is_running() && is_alive(process.pid()));
}

#[test]
fn a_program_that_is_not_there_is_named() {
    // Through setpriv the failure shows as an early end, without it as an error.
    match Process::spawn("/nowhere/redis-server", []) {
        Err(error) => assert!(format!("{error:#}").contains("/nowhere/redis-server")),
        Ok(process) => {
            while process.is_running() {
                std::thread::yield_now();
            }
        }
    }
}

/// Runs this test binary again as the process that dies.
#[tokio::test]
async fn a_process_dies_with_the_test_process() -> anyhow::Result<()> {
    const PID_FILE: &str = "TESTKIT_PID_FILE";
    if let Some(file) = std::env::var_os(PID_FILE) {
        let process = sleeper()?;
        std::fs::write(file, process.pid().to_string())?;
        let command = format!("/proc/{}/comm", process.pid());
        wait_for("the process to be set up", Duration::from_secs(5), async || {
            std::fs::read_to_string(&command).ok().filter(|command| command == "sleep\n")
        })
        .await?;
        std::process::abort();
    }
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("pid");
    let status = Command::new(std::env::current_exe()?)
        .args(["--exact", "processes::a_process_dies_with_the_test_process"])
        .env(PID_FILE, &file)
        .output()?
        .status;
    assert!(!status.success());
    let pid: i32 = std::fs::read_to_string(&file)?.parse()?;
    wait_for("the orphan to be killed", Duration::from_secs(5), async || (!is_alive(pid)).then_some(())).await
}
