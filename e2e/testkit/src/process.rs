use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

/// A child process that ends when its handle is dropped, and when the test process dies.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// The thread that waits for the child. The kernel's parent-death signal fires when the *thread* that forked ends,
    /// and a test's thread may end before a service that it shares. So each child is forked by a thread of its own.
    parent: Option<JoinHandle<Option<ExitStatus>>>,
}

impl Process {
    /// Starts `program` with empty standard input.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn spawn(program: impl Into<OsString>, args: impl IntoIterator<Item = OsString>) -> Result<Self> {
        Self::start(program.into(), args, None)
    }

    /// Starts `program` with empty standard input and writes its output to a file.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn spawn_logged(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = OsString>,
        log: File,
    ) -> Result<Self> {
        Self::start(program.into(), args, Some(log))
    }

    fn start(program: OsString, args: impl IntoIterator<Item = OsString>, log: Option<File>) -> Result<Self> {
        let output = |log: File| Ok::<_, io::Error>([log.try_clone()?, log]);
        let output = log.map(output).transpose()?;
        let args: Vec<OsString> = args.into_iter().collect();
        let shown = program.clone();
        let (started, pid) = mpsc::channel();
        let parent = thread::Builder::new().name("process".into()).spawn(move || {
            let mut command = dying_with_parent(program);
            command.args(args).stdin(Stdio::null());
            if let Some([stdout, stderr]) = output {
                command.stdout(stdout).stderr(stderr);
            }
            match command.spawn() {
                Ok(mut child) => {
                    // A closed receiver means that the caller no longer needs the child.
                    if started.send(Ok(child.id())).is_err() {
                        let _ = child.kill();
                    }
                    child.wait().ok()
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                    None
                }
            }
        })?;
        let pid = pid.recv()?.with_context(|| format!("can't start {}", shown.display()))?;
        let pid =
            i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| anyhow!("no such pid: {pid}"))?;
        Ok(Self { pid, parent: Some(parent) })
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether the process runs.
    pub fn is_running(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| !parent.is_finished())
    }

    /// Sends SIGKILL and waits for the end of the process.
    ///
    /// # Errors
    /// If the signal can't be sent.
    pub fn kill9(&mut self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// Sends SIGTERM and waits for the end of the process.
    ///
    /// # Errors
    /// If the signal can't be sent.
    pub fn terminate(&mut self) -> Result<()> {
        self.end(Signal::TERM)
    }

    /// Sends SIGTERM and does not wait.
    ///
    /// # Errors
    /// If the signal can't be sent.
    pub fn ask_to_end(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// How it ended, told once; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.parent.take_if(|parent| parent.is_finished())?.join().ok()?
    }

    /// Sends SIGSTOP: the process keeps its sockets but does nothing until [`Process::resume`].
    ///
    /// # Errors
    /// If the signal can't be sent.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Sends SIGCONT, after [`Process::pause`].
    ///
    /// # Errors
    /// If the signal can't be sent.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        if let Some(parent) = self.parent.take() {
            let _ = parent.join();
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if self.is_running() {
            kill_process(self.pid, signal)
                .with_context(|| format!("can't send {signal:?} to process {}", self.pid()))?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill9();
    }
}

/// A field of a process' memory, such as `VmRSS`, or `VmHWM` for the most that it has been, in MB (10^6 bytes).
///
/// # Errors
/// If the process has ended.
pub fn memory_mb(pid: u32, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let line = line.with_context(|| format!("no {field}"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Starts the program through util-linux's `setpriv` if it exists (on any Linux); elsewhere only the handle ends the
/// child.
fn dying_with_parent(program: OsString) -> Command {
    const SETPRIV: &str = "/usr/bin/setpriv";
    if std::path::Path::new(SETPRIV).exists() {
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}
