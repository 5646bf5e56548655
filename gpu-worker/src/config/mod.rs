use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum, builder::TypedValueParser};
use queue::WorkerId;
use reqwest::Url;
use store::Output;
use uuid::Uuid;

use values::{address, http, id, mebibytes, optional, pool, seconds, secret, switch, text, web, word};

mod values;

/// Takes image tasks from a queue, has a ComfyUI server on this machine generate them, and uploads the pictures.
///
/// Credentials for S3 are found as by every AWS tool: in the environment, files, or by web identity. White space around
/// a value is taken off, as Secrets and templates often bring some.
// Each value's name is that of its variable, so that the words on a bad one name both.
#[derive(Debug, Clone, Parser)]
#[command(version, args_override_self = true)]
pub struct Config {
    /// The queue: redis://[user:password@]host[:port][/db], rediss:// for TLS. Put passwords into REDIS_URL.
    #[arg(long = "redis", env = "REDIS_URL", hide_env_values = true, value_parser = secret())]
    pub redis_url: Secret,
    /// A private authority that Redis' certificate is checked against, PEM [default: the public ones].
    #[arg(long, env = "REDIS_CA_FILE", value_name = "REDIS_CA_FILE", value_parser = optional())]
    pub redis_ca_file: Option<Given>,
    /// The certificate by which Redis knows this worker, PEM.
    #[arg(long, env = "REDIS_CERT_FILE", value_name = "REDIS_CERT_FILE", value_parser = optional())]
    pub redis_cert_file: Option<Given>,
    /// Its key, PEM.
    #[arg(long, env = "REDIS_KEY_FILE", value_name = "REDIS_KEY_FILE", value_parser = optional())]
    pub redis_key_file: Option<Given>,
    /// The worker pool whose tasks to take, as NAMESPACE/NAME.
    #[arg(long, env = "POOL", value_name = "POOL", default_value = "default/default", value_parser = word().try_map(pool))]
    pub pool: String,
    /// What this worker calls itself; unique for all time [default: the host's name and a random number].
    #[arg(long, env = "POD_NAME", value_name = "POD_NAME", value_parser = optional().try_map(id))]
    pub worker_id: Option<Given>,
    /// The model whose tasks to prefer before any has been loaded.
    #[arg(long, env = "WARM_MODEL", value_name = "WARM_MODEL", value_parser = optional())]
    pub warm_model: Option<Given>,
    /// What this worker was made from, a word of the operator's.
    #[arg(long, env = "WORKER_TEMPLATE", value_name = "WORKER_TEMPLATE", value_parser = optional())]
    pub worker_template: Option<Given>,
    /// What kind of machine this is: decides which classes it serves, and stands in the results.
    #[arg(long, env = "CAPACITY", value_enum, default_value_t = Capacity::OnDemand)]
    pub capacity: Capacity,
    /// The ComfyUI server. It has no authentication: keep it on loopback.
    #[arg(long, env = "ENGINE_URL", value_name = "ENGINE_URL", default_value = "http://127.0.0.1:8188", value_parser = word().try_map(|text| http(&text)))]
    pub engine: Url,
    /// The bucket the pictures go to.
    #[arg(long, env = "BUCKET", value_name = "BUCKET", value_parser = word())]
    pub bucket: String,
    /// An S3-compatible server that is not AWS.
    #[arg(long, env = "S3_ENDPOINT", value_name = "S3_ENDPOINT", value_parser = optional().try_map(web))]
    pub s3_endpoint: Option<Given>,
    /// The bucket's region [default: the SDK's, else us-east-1].
    #[arg(long, env = "S3_REGION", value_name = "S3_REGION", value_parser = optional())]
    pub s3_region: Option<Given>,
    /// Address the bucket as https://host/bucket rather than https://bucket.host.
    #[arg(long, env = "S3_PATH_STYLE", value_name = "S3_PATH_STYLE", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set, value_parser = word().try_map(|text| switch(&text)))]
    pub s3_path_style: bool,
    /// What stands in front of every object's key.
    #[arg(long, env = "KEY_PREFIX", value_name = "KEY_PREFIX", default_value = "", value_parser = text())]
    pub key_prefix: String,
    /// What stands in front of a key in a picture's URL, such as a CDN's address.
    #[arg(long, env = "PUBLIC_URL", value_name = "PUBLIC_URL", value_parser = optional().try_map(web))]
    pub public_url: Option<Given>,
    /// Memory for pictures on their way to the bucket, MiB; a larger one is refused.
    #[arg(long, env = "OUTPUT_BUDGET_MIB", value_name = "OUTPUT_BUDGET_MIB", default_value = "192", value_parser = word().try_map(|text| mebibytes(&text)))]
    pub output_budget_mib: u32,
    /// Where /healthz, /readyz, /enginez and /metrics are served.
    #[arg(long, env = "LISTEN", value_name = "LISTEN", default_value = "0.0.0.0:9090", value_parser = word().try_map(|text| address(&text)))]
    pub listen: SocketAddr,
    /// Seconds there are after SIGTERM; a little less than what the machine or the Pod grants.
    #[arg(long, env = "DRAIN_GRACE", value_name = "DRAIN_GRACE", default_value = "25", value_parser = word().try_map(|text| seconds(&text)))]
    pub drain_grace: u32,
    /// Whose metadata service tells that the machine goes away; auto looks once for each.
    #[arg(long, env = "METADATA", value_enum, default_value_t = Metadata::Auto)]
    pub metadata: Metadata,
    /// Where the metadata service is.
    #[arg(long, env = "METADATA_URL", value_name = "METADATA_URL", default_value = "http://169.254.169.254", value_parser = word().try_map(|text| http(&text)))]
    pub metadata_url: Url,
    /// Where the reason is written for which this worker ends, if that file exists: Kubernetes shows it.
    #[arg(
        long,
        env = "TERMINATION_LOG",
        value_name = "TERMINATION_LOG",
        default_value = "/dev/termination-log"
    )]
    pub termination_log: PathBuf,
    /// How to write the log; RUST_LOG says what to write.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// A value that may be set to nothing, which is as good as not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given(Option<String>);

/// A value that is not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
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

    /// What the operator made it from; empty if it does not say.
    #[must_use]
    pub fn worker_template(&self) -> String {
        given(self.worker_template.as_ref()).unwrap_or_default()
    }

    /// What is left after SIGTERM.
    #[must_use]
    pub fn drain_grace(&self) -> Duration {
        Duration::from_secs(self.drain_grace.into())
    }

    /// The files for TLS with Redis: authority, certificate, key.
    #[must_use]
    pub fn redis_files(&self) -> [Option<PathBuf>; 3] {
        let files = [&self.redis_ca_file, &self.redis_cert_file, &self.redis_key_file];
        files.map(|file| given(file.as_ref()).map(PathBuf::from))
    }
}

fn given(value: Option<&Given>) -> Option<String> {
    value.and_then(|Given(value)| value.clone())
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

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
        assert_eq!(config.capacity, Capacity::OnDemand);
        assert!(!config.s3_path_style);
        assert_ne!(config.worker(), config.worker(), "no two workers share a name");
    }

    #[test]
    fn switches_are_read_as_the_operator_writes_them() {
        let config = parse(&["--s3-path-style", "--capacity=spot"]).expect("valid");
        assert_eq!(config.capacity, Capacity::Spot);
        assert!(config.s3_path_style);
        assert!(!parse(&["--s3-path-style=false"]).expect("valid").s3_path_style);
    }

    #[test]
    fn a_variable_set_to_nothing_is_not_set() {
        let flags = ["--s3-region=", "--public-url= ", "--s3-endpoint=\n", "--warm-model=", "--worker-id="];
        let config = parse(&flags).expect("valid");
        let output = config.output();
        assert_eq!((output.region, output.public_url, output.endpoint), (None, None, None));
        assert_eq!(config.warm_model(), None);
        assert_eq!(config.redis_files(), [None, None, None]);
        assert!(!config.worker().0.is_empty());
    }

    #[test]
    fn white_space_around_a_value_does_no_harm() {
        let config = parse(&[
            "--redis=redis://10.0.0.1:6379\r\n",
            "--pool=studio/sd15\n",
            "--worker-id= sd15-x2\n",
            "--engine=http://127.0.0.1:8188\n",
            "--s3-endpoint=https://minio:9000\r\n",
            "--s3-region=eu-west-3\n",
            "--s3-path-style=true\n",
            "--key-prefix=generated/\n",
            "--drain-grace=40\n",
            "--listen=127.0.0.1:9090\n",
        ]);
        let config = config.expect("valid");
        assert_eq!(
            (config.redis_url.expose(), config.pool.as_str()),
            ("redis://10.0.0.1:6379", "studio/sd15")
        );
        assert_eq!((config.worker().0.as_str(), config.drain_grace), ("sd15-x2", 40));
        let output = config.output();
        assert_eq!(output.endpoint.as_deref(), Some("https://minio:9000"));
        assert_eq!((output.region.as_deref(), output.key_prefix.as_str()), (Some("eu-west-3"), "generated/"));
    }

    #[test]
    fn nonsense_is_refused_with_the_name_of_its_variable_and_an_example() {
        for (arg, words) in [
            ("--pool=sd15", ["POOL", "studio/sd15"]),
            ("--engine=127.0.0.1:8188", ["ENGINE_URL", "http://127.0.0.1:8188"]),
            ("--engine=https://engine", ["ENGINE_URL", "http://127.0.0.1:8188"]),
            ("--capacity=cheap", ["CAPACITY", "onDemand"]),
            ("--listen=9090", ["LISTEN", "0.0.0.0:9090"]),
            ("--metadata=ec2", ["METADATA", "aws"]),
            ("--metadata-url=169.254.169.254", ["METADATA_URL", "http://127.0.0.1:8188"]),
            ("--s3-region=eu\nwest", ["S3_REGION", "line break"]),
            ("--public-url=cdn", ["PUBLIC_URL", "https://cdn.example.com"]),
            ("--s3-endpoint=https://min io", ["S3_ENDPOINT", "https://cdn.example.com"]),
            ("--key-prefix=a\nb", ["KEY_PREFIX", "line break"]),
            ("--worker-id=sd15-é", ["POD_NAME", "ASCII"]),
            ("--drain-grace=soon", ["DRAIN_GRACE", "seconds"]),
            ("--output-budget-mib=0", ["OUTPUT_BUDGET_MIB", "MiB"]),
        ] {
            let error = parse(&[arg]).expect_err("refused").to_string();
            for word in words {
                assert!(error.contains(word), "{word} in: {error}");
            }
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused_by_name() {
        let region = OsString::from_vec(b"--s3-region=eu\xff".to_vec());
        let args = ["gpu-worker", "--redis=redis://h", "--bucket=b"].map(OsString::from);
        let error =
            Config::try_parse_from(args.into_iter().chain([region])).expect_err("refused").to_string();
        assert!(error.contains("S3_REGION") && error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn a_password_is_not_repeated() {
        let odd = parse(&["--redis=redis://:hunter2@\nhost"]).expect("checked by whoever connects");
        assert!(!format!("{odd:?}").contains("hunter2"));
    }
}
