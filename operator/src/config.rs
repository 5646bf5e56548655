use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// What the operator is told at start; every flag has an environment variable, secrets come by the latter.
#[derive(Parser, Debug, Clone)]
#[command(name = "operator", version, about = "Reconciles ImageJobs and WorkerPools")]
pub struct Config {
    /// Where the queue is: redis://, rediss://, redis-cluster:// or redis-sentinel:// (may hold a password)
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: String,

    /// The same, as workers reach it; handed to them in a Secret [default: the operator's own URL]
    #[arg(long, env = "WORKER_REDIS_URL", hide_env_values = true)]
    pub worker_redis_url: Option<String>,

    /// Image of the gpu-worker container, for pools that name none
    #[arg(long, env = "WORKER_IMAGE", default_value = "imagejob/gpu-worker:0.1.0")]
    pub worker_image: String,

    /// Address for /metrics, /healthz and /readyz
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Namespace of the leader election Lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "imagejob-system")]
    pub namespace: String,

    /// This replica's name in the leader election
    #[arg(long, env = "POD_NAME", default_value_t = format!("operator-{}", uuid::Uuid::new_v4().simple()))]
    pub identity: String,

    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For log collectors.
    Json,
}

impl Config {
    /// The Redis URL handed to workers.
    #[must_use]
    pub fn url_for_workers(&self) -> &str {
        self.worker_redis_url.as_deref().unwrap_or(&self.redis_url)
    }
}
