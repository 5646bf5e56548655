//! The product and everything that it needs, on one machine.

use std::{net::IpAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use tempfile::TempDir;
use testkit::{
    Access, Clock, Cluster, ClusterOptions, Persistence, Reading, Redis, RedisOptions, S3, S3Options,
    wait_for,
};
use tokio::sync::Mutex;

use crate::{
    cloud::{self, CloudOptions, Machine},
    deploy::{self, Replicas},
    operator::metric,
    programs::Programs,
};

pub use crate::deploy::EngineOptions;

/// The bucket of every pool.
pub(crate) const BUCKET: &str = "images";
const OPERATOR_READY: Duration = Duration::from_secs(60);

/// The options of a world.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// The cloud from which machines come.
    pub cloud: CloudOptions,
    /// The engine in the workers' Pods.
    pub engine: EngineOptions,
    /// The number of the operator's replicas.
    pub operators: u32,
    /// The number of the API server's replicas.
    pub api_servers: u32,
    /// The clock that Redis goes by, if not the machine's.
    pub clock: Option<Clock>,
    /// Who gets into Redis: by default with a password, so that each pool has a user of its own.
    pub access: Access,
    /// The collector to which the operator and the API server export traces, as a URL; `None`: they export none.
    pub collector: Option<String>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        let (cloud, engine) = (CloudOptions::default(), EngineOptions::default());
        let access = Access::Password("operators".to_owned());
        Self { cloud, engine, operators: 1, api_servers: 0, clock: None, access, collector: None }
    }
}

/// A cluster with machines that come and go, Redis, S3, and the operator deployed on it. All of it ends with this
/// value, and with the process.
pub struct World {
    /// The control plane and the machines.
    pub cluster: Cluster,
    /// The administrator's client.
    pub client: Client,
    /// The programs under test.
    pub programs: Programs,
    /// The Redis of the queue, which keeps its data when it is killed.
    pub(crate) redis: Mutex<Redis>,
    redis_url: String,
    pub(crate) s3: Mutex<S3>,
    s3_endpoint: String,
    engine_args: Vec<String>,
    files: TempDir,
}

impl World {
    /// Starts everything and waits until the operator is ready.
    ///
    /// # Errors
    /// If a part can't be built or is not ready in time.
    pub async fn start(options: &WorldOptions) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(Programs::build).await??;
        let files = tempfile::Builder::new().prefix("imagejob-").tempdir()?;
        let images = files.path().join("images.json");
        let provisioner = files.path().join("provisioner.json");
        deploy::write_images(&images, &programs, &options.engine)?;
        options.cloud.write(&provisioner)?;
        let cluster =
            ClusterOptions { system_node: true, images: Some(images), provisioner: Some(provisioner) };
        let world = Self::furnish(programs, files, cluster, options).await?;
        world.operator_ready().await?;
        Ok(world)
    }

    /// Starts a world without machines and operators; the caller acts in their place. Redis uses `clock`, if it is given.
    ///
    /// # Errors
    /// If a part can't be built or is not ready in time.
    pub async fn bare(clock: Option<Clock>) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(Programs::build).await??;
        let files = tempfile::Builder::new().prefix("imagejob-").tempdir()?;
        let options = WorldOptions { operators: 0, clock, access: Access::Open, ..WorldOptions::default() };
        Self::furnish(programs, files, ClusterOptions::default(), &options).await
    }

    async fn furnish(
        programs: Programs,
        files: TempDir,
        cluster: ClusterOptions,
        options: &WorldOptions,
    ) -> Result<Self> {
        let (access, clock) = (options.access.clone(), options.clock.clone());
        let persistence = Persistence::AppendOnly;
        let redis = RedisOptions { persistence, access, clock, ..RedisOptions::default() };
        let s3 =
            S3Options { buckets: vec![BUCKET.to_owned()], reading: Reading::Public, ..S3Options::default() };
        let (cluster, redis, s3) =
            tokio::try_join!(Cluster::start(cluster), Redis::start(redis), S3::start(s3))?;
        let client = client(cluster.kubeconfig()).await?;
        let (redis_url, s3_endpoint) = (redis.url(), s3.endpoint());
        let replicas = Replicas { operators: options.operators, api_servers: options.api_servers };
        deploy::apply(&cluster, files.path(), &redis_url, replicas, options.collector.as_deref())?;
        Ok(Self {
            cluster,
            client,
            programs,
            redis: Mutex::new(redis),
            redis_url,
            s3: Mutex::new(s3),
            s3_endpoint,
            engine_args: options.engine.args.clone(),
            files,
        })
    }

    /// A folder that is removed with the world.
    #[must_use]
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// The address of Redis, which a restart does not change.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Where S3 listens, as a URL.
    #[must_use]
    pub fn s3_endpoint(&self) -> &str {
        &self.s3_endpoint
    }

    pub(crate) fn engine_args(&self) -> &[String] {
        &self.engine_args
    }

    /// Waits until the operator's Deployment is available.
    ///
    /// # Errors
    /// If it is not available in time; the error contains its Pods and log.
    pub async fn operator_ready(&self) -> Result<()> {
        let available = ["-n", deploy::SYSTEM, "get", "deployment", "imagejob-operator", "-o"];
        let path = "jsonpath={.status.availableReplicas}";
        let ready = wait_for("the operator to be available", OPERATOR_READY, async || {
            let replicas = self.cluster.kubectl(available.iter().chain([&path]));
            replicas.ok().and_then(|n| n.parse::<u32>().ok()).filter(|n| *n > 0)
        })
        .await;
        ready.map(drop).with_context(|| self.dump())
    }

    /// The facts that a person would look at if something is wrong.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut dump = String::new();
        for args in [
            vec!["get", "nodes,pods,imagejobs,workerpools", "-A", "-o", "wide"],
            vec!["get", "events", "-A", "--sort-by=.lastTimestamp"],
            vec!["-n", deploy::SYSTEM, "logs", "deployment/imagejob-operator", "--tail=80"],
        ] {
            let words = self.cluster.kubectl(&args).unwrap_or_else(|error| format!("{error:#}"));
            dump.push_str(&format!("--- kubectl {}\n{words}\n", args.join(" ")));
        }
        dump
    }

    /// The operator's Pods.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn operators(&self) -> Result<Vec<Pod>> {
        let operators = ListParams::default().labels("app.kubernetes.io/name=imagejob-operator");
        Ok(Api::namespaced(self.client.clone(), deploy::SYSTEM).list(&operators).await?.items)
    }

    /// The sum of a metric over all its labels and all operators.
    ///
    /// # Errors
    /// If an operator does not answer.
    pub async fn operator_metric(&self, name: &str) -> Result<f64> {
        const PORT: u16 = 8080;
        let mut sum = 0.0;
        for pod in self.operators().await? {
            let ip = pod.status.and_then(|status| status.pod_ip).context("an operator without an address")?;
            sum += metric((ip.parse::<IpAddr>()?, PORT).into(), name).await?;
        }
        Ok(sum)
    }

    /// Kills a machine without notice.
    ///
    /// # Errors
    /// If there is no such machine.
    pub fn kill_machine(&self, name: &str) -> Result<()> {
        cloud::node(&self.cluster, "kill", &[name]).map(drop)
    }

    /// Takes a spot machine away as a cloud does: it gives notice and then stops the machine.
    ///
    /// # Errors
    /// If there is no such machine.
    pub fn interrupt_machine(&self, name: &str, notice: Duration) -> Result<()> {
        let notice = format!("{}s", notice.as_secs());
        cloud::node(&self.cluster, "interrupt", &[name, "--notice", &notice]).map(drop)
    }

    /// Starts the recorded spot markets from their beginning.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub fn restart_spot_traces(&self) -> Result<()> {
        cloud::restart_traces(&self.cluster)
    }

    /// Writes an object into the bucket, as somebody with a key to it does.
    ///
    /// # Errors
    /// If its file can't be written.
    pub async fn put_object(&self, key: &str, content: &[u8]) -> Result<()> {
        let file = self.s3.lock().await.object_file(BUCKET, key);
        std::fs::create_dir_all(file.parent().context("a key is in a bucket")?)?;
        Ok(std::fs::write(file, content)?)
    }

    /// All machines of the cluster.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub fn machines(&self) -> Result<Vec<Machine>> {
        let json = cloud::node(&self.cluster, "list", &["--output", "json"])?;
        serde_json::from_str(&json).with_context(|| format!("not a list of machines: {json}"))
    }

    /// Stops or starts a component of the control plane.
    ///
    /// # Errors
    /// If there is no such component.
    pub fn control_plane(&self, verb: &str, component: &str) -> Result<()> {
        cloud::component(&self.cluster, verb, component).map(drop)
    }
}

/// Installs the TLS provider that our own HTTPS clients and kube's share.
fn install_tls_provider() {
    // An error means that the provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client of the cluster that a kubeconfig describes.
///
/// # Errors
/// If the kubeconfig can't be read.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    install_tls_provider();
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
