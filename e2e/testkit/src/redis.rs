use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{Clock, Process, free_port, resp, tls, wait_for};

/// The time is long because two cores may be building something else.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// The port was free a moment ago, but another test may have taken it.
const START_TRIES: usize = 5;

/// What a [`Redis`] keeps across a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Persistence {
    /// It keeps nothing.
    #[default]
    None,
    /// `appendonly yes`, `appendfsync everysec`: it keeps everything that it acknowledged if only the process dies.
    AppendOnly,
}

/// Who may use a [`Redis`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Every client.
    #[default]
    Open,
    /// Clients that know the password.
    Password(String),
    /// One ACL user; the default user is disabled.
    User {
        /// The user's name.
        name: String,
        /// The user's password.
        password: String,
    },
}

/// How clients connect to a [`Redis`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Plain TCP.
    #[default]
    Plain,
    /// TLS with a certificate of the test's own authority: see [`Redis::ca_file`].
    Tls,
}

/// The options of a [`Redis`].
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// What it keeps across a crash.
    pub persistence: Persistence,
    /// The memory limit in bytes, at which writes are refused (`noeviction`).
    pub max_memory: Option<u64>,
    /// Who may use it.
    pub access: Access,
    /// How clients connect to it.
    pub transport: Transport,
    /// The clock it goes by, if not the machine's.
    pub clock: Option<Clock>,
    /// More lines for redis.conf.
    pub config: Vec<String>,
}

/// A real redis-server, version 7 or later, with a process and a directory of its own.
#[derive(Debug)]
pub struct Redis {
    dir: TempDir,
    port: u16,
    access: Access,
    transport: Transport,
    clock: Option<Clock>,
    process: Process,
}

impl Redis {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Errors
    /// If there is no redis-server and it can't be downloaded, or if the server does not start; the error contains its
    /// log.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        let mut failure = None;
        for _ in 0..START_TRIES {
            match Self::start_on(free_port()?, &options).await {
                Ok(redis) => return Ok(redis),
                Err(error) if format!("{error:#}").contains("Address already in use") => {
                    failure = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| anyhow::anyhow!("no port for redis-server")))
    }

    async fn start_on(port: u16, options: &RedisOptions) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("redis-").tempdir()?;
        std::fs::write(dir.path().join("redis.conf"), config(dir.path(), port, options)?)?;
        let RedisOptions { access, transport, clock, .. } = options.clone();
        let process = launch(dir.path(), None, clock.as_ref()).await?;
        Ok(Self { dir, port, access, transport, clock, process })
    }

    /// The URL to connect to, with credentials: `redis://…` or `rediss://…`.
    pub fn url(&self) -> String {
        let scheme = match self.transport {
            Transport::Plain => "redis",
            Transport::Tls => "rediss",
        };
        let user = match &self.access {
            Access::Open => String::new(),
            Access::Password(password) => format!(":{password}@"),
            Access::User { name, password } => format!("{name}:{password}@"),
        };
        format!("{scheme}://{user}127.0.0.1:{}/", self.port)
    }

    /// The server's loopback port, which a restart does not change.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The PEM file of the authority that signed the server's certificate; it exists only with [`Transport::Tls`].
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Sends one command. It works for servers without TLS that are open or have a password.
    ///
    /// # Errors
    /// If the server does not answer, or answers with an error.
    pub async fn command(&self, words: &[&str]) -> Result<String> {
        let password = match &self.access {
            Access::Password(password) => Some(password.as_str()),
            Access::Open | Access::User { .. } => None,
        };
        resp::command(self.port, password, words).await
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// If the signal can't be sent.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// Sends SIGSTOP: connections stay open, and no command is answered.
    ///
    /// # Errors
    /// If the signal can't be sent.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// Sends SIGCONT.
    ///
    /// # Errors
    /// If the signal can't be sent.
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// Starts the server again with the same port and directory. A running server is killed first.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill9()?;
        self.process = launch(self.dir.path(), None, self.clock.as_ref()).await?;
        Ok(())
    }

    /// SIGKILL, and it starts again on an empty disk.
    ///
    /// # Errors
    /// As [`Redis::start`], or when what it has kept can't be removed.
    pub async fn lose(&mut self) -> Result<()> {
        self.process.kill9()?;
        let kept = self.dir.path().join("appendonlydir");
        if kept.exists() {
            std::fs::remove_dir_all(&kept).with_context(|| format!("remove {}", kept.display()))?;
        }
        self.restart().await
    }
}

/// The redis-server to use: `REDIS_SERVER`, the one on the PATH, or one in the user's cache.
///
/// # Errors
/// If there is none and it can't be downloaded; the error says what to install.
pub fn redis_server() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/redis.sh");
    let output = Command::new("bash").arg(&script).output().context("can't run bash")?;
    if !output.status.success() {
        bail!("no redis-server: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// Starts the server whose redis.conf is in `dir`; `mode` is `--sentinel` for one of those.
pub(crate) async fn launch(dir: &Path, mode: Option<&str>, clock: Option<&Clock>) -> Result<Process> {
    let log = dir.join("redis.log");
    std::fs::write(&log, "")?;
    let server = tokio::task::spawn_blocking(redis_server).await??;
    let clock = clock.into_iter().flat_map(Clock::variables);
    let args = [server.into(), dir.join("redis.conf").into()].into_iter().chain(mode.map(Into::into));
    let process = Process::spawn("env", clock.chain(args))?;
    wait_for("redis-server to accept connections or to end", START_DEADLINE, async || {
        (!process.is_running() || is_ready(&log)).then_some(())
    })
    .await
    .and_then(|()| if is_ready(&log) { Ok(process) } else { bail!("redis-server ended") })
    .with_context(|| format!("its log:\n{}", std::fs::read_to_string(&log).unwrap_or_default()))
}

fn is_ready(log: &Path) -> bool {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    // The second text is what a Sentinel logs.
    log.contains("Ready to accept connections") || log.contains("Sentinel ID is")
}

fn config(dir: &Path, port: u16, options: &RedisOptions) -> Result<String> {
    let mut lines = vec![
        "bind 127.0.0.1".to_owned(),
        format!("dir {}", dir.display()),
        format!("logfile {}", dir.join("redis.log").display()),
        "save \"\"".to_owned(),
        "maxmemory-policy noeviction".to_owned(),
        "enable-debug-command yes".to_owned(),
    ];
    match options.persistence {
        Persistence::None => {}
        Persistence::AppendOnly => {
            lines.extend(["appendonly yes".to_owned(), "appendfsync everysec".to_owned()]);
        }
    }
    if let Some(bytes) = options.max_memory {
        lines.push(format!("maxmemory {bytes}"));
    }
    match &options.access {
        Access::Open => lines.push("protected-mode no".to_owned()),
        Access::Password(password) => lines.push(format!("requirepass {password}")),
        Access::User { name, password } => {
            lines.extend(["user default off".to_owned(), format!("user {name} on >{password} ~* &* +@all")]);
        }
    }
    match options.transport {
        Transport::Plain => lines.push(format!("port {port}")),
        Transport::Tls => {
            let files = tls::make(dir)?;
            lines.extend([
                "port 0".to_owned(),
                format!("tls-port {port}"),
                format!("tls-ca-cert-file {}", files.ca.display()),
                format!("tls-cert-file {}", files.cert.display()),
                format!("tls-key-file {}", files.key.display()),
                "tls-auth-clients no".to_owned(),
            ]);
        }
    }
    lines.extend(options.config.iter().cloned());
    Ok(lines.join("\n") + "\n")
}
