//! What the operator is told at start.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use queue::{
    Tls,
    access::{has_user, password_in},
};

use crate::credentials::{QueueAccess, QueueAddress};

/// What the operator is told at start; every flag has an environment variable, secrets come by the latter.
#[derive(Parser, Debug, Clone)]
#[command(
    name = "operator",
    version,
    about = "Has the images of ImageJobs made by the workers of WorkerPools"
)]
pub struct Config {
    /// Where the queue is: redis://, rediss://, redis-cluster:// or redis-sentinel:// (may hold a password)
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: String,

    /// The same, as workers reach it; handed to them in a Secret. With a user or password in it, that is theirs; else the
    /// operator makes a user for each pool, if it has a password itself and may [default: the operator's own URL]
    #[arg(long, env = "WORKER_REDIS_URL", hide_env_values = true)]
    pub worker_redis_url: Option<String>,

    /// File with the authorities to trust for rediss://, PEM; handed to workers [default: the public ones]
    #[arg(long, env = "REDIS_CA_FILE", value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,

    /// File with the certificate to show to Redis, PEM; handed to workers
    #[arg(long, env = "REDIS_CERT_FILE", value_name = "FILE", requires = "redis_key_file")]
    pub redis_cert_file: Option<PathBuf>,

    /// File with the key of that certificate, PEM; handed to workers
    #[arg(long, env = "REDIS_KEY_FILE", value_name = "FILE", requires = "redis_cert_file")]
    pub redis_key_file: Option<PathBuf>,

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
    /// The operator's own certificates for Redis.
    pub(crate) fn tls(&self) -> anyhow::Result<Tls> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
        let ca = self.redis_ca_file.as_deref().map(read).transpose()?;
        let client = match (&self.redis_cert_file, &self.redis_key_file) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        Ok(Tls { ca, client })
    }

    /// How workers reach the queue. Each pool gets a user of its own, unless the workers' URL names a user, or the operator
    /// has no password itself.
    pub(crate) fn queue_access(&self, tls: Tls) -> QueueAccess {
        let given = self.worker_redis_url.as_deref();
        let url = given.unwrap_or(&self.redis_url);
        let key = password_in(&self.redis_url).filter(|_| !given.is_some_and(has_user));
        QueueAccess::new(QueueAddress { url: url.to_owned(), tls }, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_comes_with_its_key() {
        let parse = |args: &[&str]| {
            let all = ["operator", "--redis-url", "rediss://queue.example.com"].into_iter();
            Config::try_parse_from(all.chain(args.iter().copied()))
        };
        assert!(parse(&["--redis-ca-file", "ca.crt"]).is_ok());
        assert!(parse(&["--redis-cert-file", "tls.crt"]).is_err());
        let whole = parse(&["--redis-cert-file", "tls.crt", "--redis-key-file", "/nowhere/tls.key"]).unwrap();
        let error = whole.tls().unwrap_err();
        assert!(error.to_string().starts_with("read "), "{error}");
    }
}
