use std::{
    ffi::OsString,
    fs::File,
    io,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

/// A child process that ends with its handle, and with the test process however that dies.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// Waits for the child. The kernel's parent-death signal fires when the *thread* that forked ends, and a test's
    /// thread may end before a service it shares; so each child is forked by a thread of its own.
    parent: Option<JoinHandle<Option<ExitStatus>>>,
}

impl Process {
    /// Starts `program` with nothing on its standard input.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn spawn(program: impl Into<OsString>, args: impl IntoIterator<Item = OsString>) -> Result<Self> {
        Self::start(program.into(), args, None)
    }

    /// The same, with what it says in a file.
    ///
    /// # Errors
    /// When it can't be started.
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
                    // A receiver that is gone means nobody wants the child any more.
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

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| !parent.is_finished())
    }

    /// SIGKILL, and wait for its end.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn kill9(&mut self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// SIGTERM, and wait for its end.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn terminate(&mut self) -> Result<()> {
        self.end(Signal::TERM)
    }

    /// SIGSTOP: it keeps its sockets but does nothing until [`Process::resume`].
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT, after [`Process::pause`].
    ///
    /// # Errors
    /// When the signal can't be sent.
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

/// Through util-linux's `setpriv` where there is one (any Linux); elsewhere only the handle ends the child.
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
