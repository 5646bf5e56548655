use std::{
    ffi::OsString,
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

const NS_PER_MS: i64 = 1_000_000;

/// The wall clock of the processes that are started with its [`variables`](Clock::variables). It can be changed while
/// they run. Monotonic time does not change.
///
/// The clock is a library that a process loads before all others. So it works for programs that ask the C library for
/// the time: redis-server and our own. Statically linked programs, such as all of Kubernetes', keep the real clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<TempDir>);

impl Clock {
    /// Compiles the library, which takes a tenth of a second. At first the clock is right.
    ///
    /// # Errors
    /// If this is not Linux, or if there is no C compiler (Rust itself needs one to link).
    pub fn new() -> Result<Self> {
        const SOURCE: &str = include_str!("clock.c");
        if !cfg!(target_os = "linux") {
            bail!("another clock for a process is made on Linux only");
        }
        let clock = Self(Arc::new(tempfile::Builder::new().prefix("clock-").tempdir()?));
        let source = clock.file("clock.c");
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(clock.library()).arg(&source);
        let output = compiler.output().context("can't run cc")?;
        ensure!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
        clock.set_ms(0)?;
        Ok(clock)
    }

    /// Sets the clock ahead by this many milliseconds, or back if the number is negative.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn set_ms(&self, ahead: i64) -> Result<()> {
        self.write([ahead * NS_PER_MS, 0])
    }

    /// Stops the clock at this time, ms since the Unix epoch, until it is set.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn stop_at_ms(&self, time: i64) -> Result<()> {
        self.write([0, time * NS_PER_MS])
    }

    fn write(&self, [ahead, stopped_at]: [i64; 2]) -> Result<()> {
        // The file is changed in place, because the processes have mapped it.
        let file = fs::File::options().create(true).truncate(false).write(true).open(self.offset())?;
        file.write_all_at(&[ahead.to_ne_bytes(), stopped_at.to_ne_bytes()].concat(), 0)?;
        Ok(())
    }

    /// The environment variables of a process that uses the clock, each as NAME=VALUE.
    pub fn variables(&self) -> [OsString; 2] {
        let variable = |name: &str, path: &Path| {
            let mut variable = OsString::from(name);
            variable.push(path);
            variable
        };
        [variable("LD_PRELOAD=", &self.library()), variable("CLOCK_OFFSET=", &self.offset())]
    }

    fn library(&self) -> PathBuf {
        self.file("clock.so")
    }

    fn offset(&self) -> PathBuf {
        self.file("offset")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
