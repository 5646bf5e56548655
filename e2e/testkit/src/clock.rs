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

/// The wall clock of processes that are started with its [`variables`](Clock::variables), which may be set while they
/// run. Time that only goes by is left alone.
///
/// It is a library that such a process loads before all others, so it reaches programs that ask the C library for the
/// time: redis-server and our own. What is linked statically, as all of Kubernetes' programs are, keeps its clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<TempDir>);

impl Clock {
    /// Compiles the library, in a tenth of a second. At first the clock is right.
    ///
    /// # Errors
    /// When this is not Linux, or has no C compiler; Rust itself needs one to link.
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

    /// From now on the clock is so many milliseconds ahead; behind, if that is negative.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn set_ms(&self, ahead: i64) -> Result<()> {
        // In place: the processes have mapped this very file.
        let file = fs::File::options().create(true).truncate(false).write(true).open(self.offset())?;
        file.write_all_at(&(ahead * 1_000_000).to_ne_bytes(), 0)?;
        Ok(())
    }

    /// What stands in the environment of a process that goes by it, each as NAME=VALUE.
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
