use std::{net::SocketAddr, time::Duration};

use clap::{Parser, ValueEnum, builder::NonEmptyStringValueParser};
use queue::WorkerId;
use reqwest::Url;
use store::Output;
use uuid::Uuid;

/// Takes image tasks from a queue, has a ComfyUI server on this machine generate them, and uploads the pictures.
///
/// Credentials for S3 are found as by every AWS tool: in the environment, files, or by web identity.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// The queue: redis://[user:password@]host[:port][/db], rediss:// for TLS. Put passwords into REDIS_URL.
    #[arg(long = "redis", env = "REDIS_URL", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub redis_url: String,
    /// The worker pool whose tasks to take.
    #[arg(long, env = "POOL", value_name = "NAMESPACE/NAME", default_value = "default/default", value_parser = pool)]
    pub pool: String,
    /// What this worker calls itself; unique for all time [default: the host's name and a random number].
    #[arg(long, env = "POD_NAME", value_name = "ID")]
    pub worker_id: Option<String>,
    /// The classes whose tasks to take.
    #[arg(long, env = "CLASSES", value_delimiter = ',', default_value = "standard", value_parser = NonEmptyStringValueParser::new())]
    pub classes: Vec<String>,
    /// The model whose tasks to prefer before any has been loaded.
    #[arg(long, env = "WARM_MODEL", value_name = "MODEL")]
    pub warm_model: Option<String>,
    /// What kind of machine this is; stands in the results.
    #[arg(long, env = "CAPACITY", value_enum, default_value_t = Capacity::OnDemand)]
    pub capacity: Capacity,
    /// The ComfyUI server. It has no authentication: keep it on loopback.
    #[arg(long, env = "ENGINE_URL", default_value = "http://127.0.0.1:8188", value_parser = http)]
    pub engine: Url,
    /// The bucket the pictures go to.
    #[arg(long, env = "BUCKET", value_parser = NonEmptyStringValueParser::new())]
    pub bucket: String,
    /// An S3-compatible server that is not AWS.
    #[arg(long, env = "S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// The bucket's region [default: the SDK's, else us-east-1].
    #[arg(long, env = "S3_REGION", value_name = "REGION")]
    pub s3_region: Option<String>,
    /// Address the bucket as https://host/bucket rather than https://bucket.host.
    #[arg(long, env = "S3_PATH_STYLE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub s3_path_style: bool,
    /// What stands in front of every object's key.
    #[arg(long, env = "KEY_PREFIX", value_name = "PREFIX", default_value = "")]
    pub key_prefix: String,
    /// What stands in front of a key in a picture's URL, such as a CDN's address.
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Where /healthz, /readyz, /enginez and /metrics are served.
    #[arg(long, env = "LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,
    /// Seconds there are after SIGTERM; a little less than what the machine or the Pod grants.
    #[arg(long, env = "DRAIN_GRACE", value_name = "SECONDS", default_value_t = 25)]
    pub drain_grace: u32,
    /// Whose metadata service tells that the machine goes away; auto looks once for each.
    #[arg(long, env = "METADATA", value_enum, default_value_t = Metadata::Auto)]
    pub metadata: Metadata,
    /// Where the metadata service is.
    #[arg(long, env = "METADATA_URL", value_name = "URL", default_value = "http://169.254.169.254", value_parser = http)]
    pub metadata_url: Url,
    /// How to write the log; RUST_LOG says what to write.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// What kind of machine a worker runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum Capacity {
    /// It may be taken away at any time.
    Spot,
    /// It stays.
    OnDemand,
}

/// Whose metadata service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Metadata {
    /// Whichever answers.
    Auto,
    /// Amazon EC2.
    Aws,
    /// Google Compute Engine.
    Gcp,
    /// Microsoft Azure.
    Azure,
    /// None.
    Off,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For machines.
    Json,
    /// For people.
    Text,
}

impl Capacity {
    /// As in task results.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::OnDemand => "onDemand",
        }
    }
}

impl Config {
    /// Where the pictures go.
    #[must_use]
    pub fn output(&self) -> Output {
        Output {
            bucket: self.bucket.clone(),
            endpoint: given(self.s3_endpoint.as_ref()),
            region: given(self.s3_region.as_ref()),
            key_prefix: self.key_prefix.clone(),
            public_url: given(self.public_url.as_ref()),
            path_style: self.s3_path_style,
            request_timeout: Output::REQUEST_TIMEOUT,
        }
    }

    /// Who we are. Draws a name where none is given.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        WorkerId(given(self.worker_id.as_ref()).unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let host = if host.trim().is_empty() { "worker" } else { host.trim() };
            format!("{host}-{}", Uuid::new_v4().simple())
        }))
    }

    /// The model to begin with, if it matters.
    #[must_use]
    pub fn warm_model(&self) -> Option<String> {
        given(self.warm_model.as_ref())
    }

    /// What is left after SIGTERM.
    #[must_use]
    pub fn drain_grace(&self) -> Duration {
        Duration::from_secs(self.drain_grace.into())
    }
}

/// A variable that is set to nothing is not set.
fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn pool(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(text.to_owned())
        }
        _ => Err("expected NAMESPACE/NAME, as in studio/sd15".into()),
    }
}

fn http(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err("expected http://host:port, as in http://127.0.0.1:8188".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Capacity, Config};

    fn parse(more: &[&str]) -> Result<Config, clap::Error> {
        let least = ["gpu-worker", "--redis", "redis://127.0.0.1", "--bucket", "images"];
        Config::try_parse_from(least.iter().chain(more))
    }

    #[test]
    fn redis_and_a_bucket_are_all_it_needs() {
        let config = parse(&[]).expect("enough");
        assert_eq!(config.engine.as_str(), "http://127.0.0.1:8188/");
        assert_eq!(config.classes, ["standard"]);
        assert_eq!(config.capacity, Capacity::OnDemand);
        assert!(!config.s3_path_style);
        assert_ne!(config.worker(), config.worker(), "no two workers share a name");
    }

    #[test]
    fn classes_and_path_style_are_read_as_the_operator_writes_them() {
        let config = parse(&["--classes", "immediate,standard", "--s3-path-style", "--capacity=spot"]);
        let config = config.expect("valid");
        assert_eq!(config.classes, ["immediate", "standard"]);
        assert!(config.s3_path_style);
        assert!(!parse(&["--s3-path-style=false"]).expect("valid").s3_path_style);
    }

    #[test]
    fn a_variable_set_to_nothing_is_not_set() {
        let flags = ["--s3-region=", "--public-url=", "--s3-endpoint=", "--warm-model=", "--worker-id="];
        let config = parse(&flags).expect("valid");
        let output = config.output();
        assert_eq!((output.region, output.public_url, output.endpoint), (None, None, None));
        assert_eq!(config.warm_model(), None);
        assert!(!config.worker().0.is_empty());
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for (args, word) in [
            (["--pool", "sd15"], "studio/sd15"),
            (["--engine", "127.0.0.1:8188"], "http://127.0.0.1:8188"),
            (["--engine", "https://engine"], "http://127.0.0.1:8188"),
            (["--capacity", "cheap"], "onDemand"),
            (["--listen", "9090"], "listen"),
            (["--metadata", "ec2"], "aws"),
            (["--metadata-url", "169.254.169.254"], "http://127.0.0.1:8188"),
        ] {
            let error = parse(&args).expect_err("refused").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
