//! What the API server is told at start.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use queue::Tls;

use crate::auth::Issuer;

/// What the program is to do.
#[derive(Parser, Debug, Clone)]
#[command(name = "api-server", version, about = "The HTTP API of the ImageJob operator")]
pub struct Cli {
    /// What to do [default: serve]
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What the server is told
    #[command(flatten)]
    pub config: Config,
}

/// What to do.
#[derive(Subcommand, Debug, Clone)]
pub enum Command {
    /// Create an API key and print it, once: only its hash is kept
    CreateKey(CreateKey),
}

/// Whose key is made, and what it may do.
#[derive(Args, Debug, Clone)]
pub struct CreateKey {
    /// The ImageTenant whose key it is; a key for administrators has none
    #[arg(long, required_unless_present = "admin", conflicts_with = "admin")]
    pub tenant: Option<String>,

    /// The key may create and revoke keys, and has no jobs
    #[arg(long)]
    pub admin: bool,

    /// The key may look, and change nothing
    #[arg(long, conflicts_with = "admin")]
    pub read_only: bool,

    /// The name of the key's Secret [default: made up]
    #[arg(long)]
    pub name: Option<String>,
}

/// What the server is told; every flag has an environment variable, secrets come by the latter.
#[derive(Args, Debug, Clone)]
pub struct Config {
    /// Where the queue is: redis://, rediss://, redis-cluster:// or redis-sentinel:// (may hold a password)
    #[arg(long, env = "REDIS_URL", hide_env_values = true, default_value = "redis://127.0.0.1:6379")]
    pub redis_url: String,

    /// File with the authorities to trust for rediss://, PEM [default: the public ones]
    #[arg(long, env = "REDIS_CA_FILE", value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,

    /// File with the certificate to show to Redis, PEM
    #[arg(long, env = "REDIS_CERT_FILE", value_name = "FILE", requires = "redis_key_file")]
    pub redis_cert_file: Option<PathBuf>,

    /// File with the key of that certificate, PEM
    #[arg(long, env = "REDIS_KEY_FILE", value_name = "FILE", requires = "redis_cert_file")]
    pub redis_key_file: Option<PathBuf>,

    /// Address of the API
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8000")]
    pub listen: SocketAddr,

    /// Address for /metrics, /healthz and /readyz
    #[arg(long, env = "METRICS_LISTEN", default_value = "0.0.0.0:8080")]
    pub metrics_listen: SocketAddr,

    /// The URL by which clients reach the API, e.g. https://images.example.com; links in answers begin with it [default:
    /// http:// and the address of the API]
    #[arg(long, env = "PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Namespace of ImageTenants and API keys
    #[arg(long, env = "POD_NAMESPACE", default_value = "imagejob-system")]
    pub namespace: String,

    /// The OpenID Connect issuer whose bearer tokens are taken beside API keys, e.g. https://login.example.com/realms/images
    #[arg(long, env = "OIDC_ISSUER", value_name = "URL", requires = "oidc_audience")]
    pub oidc_issuer: Option<String>,

    /// The audience that such tokens must be for
    #[arg(long, env = "OIDC_AUDIENCE", value_name = "NAME", requires = "oidc_issuer")]
    pub oidc_audience: Option<String>,

    /// The claim of such a token that names the ImageTenant: its name, or a JSON pointer, e.g. /kubernetes.io/namespace
    #[arg(long, env = "OIDC_TENANT_CLAIM", value_name = "CLAIM", default_value = "tenant")]
    pub oidc_tenant_claim: String,

    /// File with authorities to trust for the issuer, PEM, beside the public ones
    #[arg(long, env = "OIDC_CA_FILE", value_name = "FILE")]
    pub oidc_ca_file: Option<PathBuf>,

    /// Take API keys from paths too, /k/KEY/…, for clients of ComfyUI's own protocol that cannot send headers. Proxies write
    /// paths into their logs
    #[arg(long, env = "KEYS_IN_PATHS")]
    pub keys_in_paths: bool,

    /// Networks that webhooks may be sent to beside the public internet, e.g. 10.96.0.0/12 for receivers in the cluster;
    /// several with commas
    #[arg(long, env = "WEBHOOK_ALLOW", value_delimiter = ',')]
    pub webhook_allow: Vec<crate::Network>,

    /// How long a job stays after its end that says nothing of it, in seconds; as long its Idempotency-Key counts
    #[arg(long, env = "JOB_TTL_SECONDS", default_value_t = 604_800, value_parser = clap::value_parser!(u32).range(86_400..=31_536_000))]
    pub job_ttl_seconds: u32,

    /// How many streams of the Comfy API v2 may be open at once; clients beyond them are told to poll
    #[arg(long, env = "MAX_STREAMS", default_value_t = 2000)]
    pub max_streams: usize,

    /// How long a request may take that is running when the server is told to stop, in seconds
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 20)]
    pub drain_seconds: u64,

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
    /// The server's own certificates for Redis.
    pub(crate) fn tls(&self) -> queue::Result<Tls> {
        Tls::read(
            self.redis_ca_file.as_deref(),
            self.redis_cert_file.as_deref(),
            self.redis_key_file.as_deref(),
        )
    }

    /// Whose bearer tokens are taken.
    pub(crate) fn issuer(&self) -> anyhow::Result<Option<Issuer>> {
        let (Some(url), Some(audience)) = (&self.oidc_issuer, &self.oidc_audience) else { return Ok(None) };
        Issuer::new(url, audience, &self.oidc_tenant_claim, self.oidc_ca_file.as_deref()).map(Some)
    }

    /// What links in answers begin with, without a slash at its end.
    pub(crate) fn public_url(&self) -> String {
        let given = self.public_url.as_deref().map(|url| url.trim().trim_end_matches('/'));
        given.map_or_else(|| format!("http://{}", self.listen), str::to_owned)
    }
}
