//! An API server process with all it needs. The tests of this binary share a control plane; each has namespaces of its
//! own.

use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Once,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crds::{ImageJob, ImageTenant, WorkerPool};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Config,
    api::{ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::ObjectMeta,
};
use queue::Queue;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Cluster, Process, Proxy, Redis, RedisOptions, S3, free_port, wait_for};
use tokio::sync::Mutex;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The receivers of tests are on loopback.
const WEBHOOKS: &str = "--webhook-allow=127.0.0.0/8,::1/128";
const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/base");

pub(crate) struct Rig {
    pub(crate) client: Client,
    /// Of tenants and keys.
    pub(crate) system: String,
    /// Of the tenants' jobs.
    pub(crate) studio: String,
    /// What the replicas reach the cluster's API server by.
    pub(crate) api_proxy: Proxy,
    kubeconfig: PathBuf,
    /// What the replicas reach Redis by.
    pub(crate) redis_proxy: Proxy,
    pub(crate) redis: Redis,
    http: reqwest::Client,
    files: TempDir,
    _cluster: Arc<Cluster>,
}

/// One API server.
pub(crate) struct Replica {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    metrics: SocketAddr,
    log: PathBuf,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, json }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        static CRYPTO: Once = Once::new();
        /// The kubeconfig of the cluster that has the base.
        static INSTALLED: Mutex<PathBuf> = Mutex::const_new(PathBuf::new());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        CRYPTO.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().expect("a TLS provider");
        });
        let cluster = Cluster::shared().await.expect("a cluster");
        // The cluster ends with the last test that uses it, and the next one has another.
        let mut installed = INSTALLED.lock().await;
        if *installed != cluster.kubeconfig() {
            cluster.kubectl(["apply", "--server-side", "-k", BASE]).expect("the base");
            let established = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
            cluster.kubectl(established).expect("the definitions are established");
            *installed = cluster.kubeconfig().to_owned();
        }
        drop(installed);
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
        let server =
            kubeconfig.clusters[0].cluster.as_ref().and_then(|c| c.server.clone()).expect("a server");
        let api_proxy = Proxy::start(server.trim_start_matches("https://")).await.expect("a proxy");
        let redis = Redis::start(RedisOptions::default()).await.expect("Redis");
        let redis_proxy = Proxy::start(format!("127.0.0.1:{}", redis.port())).await.expect("a proxy");
        let files = tempfile::tempdir().expect("a folder");
        let text = fs::read_to_string(cluster.kubeconfig()).expect("a kubeconfig");
        let proxied = text.replace(&server, &format!("https://{}", api_proxy.address()));
        fs::write(files.path().join("kubeconfig"), proxied).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a config");
        let client = Client::try_from(config).expect("a client");
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let rig = Self {
            client,
            system: format!("system-{n}"),
            studio: format!("studio-{n}"),
            api_proxy,
            kubeconfig: files.path().join("kubeconfig"),
            redis_proxy,
            redis,
            http: reqwest::Client::new(),
            files,
            _cluster: cluster,
        };
        rig.namespace(&rig.system).await;
        rig.namespace(&rig.studio).await;
        rig
    }

    async fn namespace(&self, name: &str) {
        let labels = [("imagejob.dev/tenancy".to_owned(), "field".to_owned())].into();
        let metadata =
            ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await.expect("a namespace");
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.system)
    }

    pub(crate) fn jobs(&self) -> Api<ImageJob> {
        Api::namespaced(self.client.clone(), &self.studio)
    }

    /// Creates or changes a tenant whose jobs are in the studio.
    pub(crate) async fn tenant(&self, name: &str, spec: Value) {
        let mut whole = json!({"namespace": self.studio});
        whole.as_object_mut().expect("an object").extend(spec.as_object().cloned().unwrap_or_default());
        let tenant = json!({"apiVersion": "imagejob.dev/v1alpha1", "kind": "ImageTenant", "metadata": {"name": name}, "spec": whole});
        let api: Api<ImageTenant> = Api::namespaced(self.client.clone(), &self.system);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(tenant)).await.expect("a tenant");
    }

    /// A key as the program makes it.
    pub(crate) async fn key(&self, order: &[&str]) -> String {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_api-server"))
            .args(["--namespace", &self.system, "create-key"])
            .args(order)
            .env("KUBECONFIG", &self.kubeconfig)
            .output()
            .await
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// A tenant and a key of it.
    pub(crate) async fn tenant_with_key(&self, name: &str, spec: Value) -> String {
        self.tenant(name, spec).await;
        self.key(&["--tenant", name]).await
    }

    /// Starts a replica, and waits until it is ready.
    pub(crate) async fn replica(&self) -> Replica {
        self.replica_with(&["--public-url=https://images.example.com/", WEBHOOKS]).await
    }

    /// One whose links lead to itself.
    pub(crate) async fn replica_at_home(&self) -> Replica {
        self.replica_with(&[WEBHOOKS]).await
    }

    /// One that sends webhooks to the public internet only.
    pub(crate) async fn replica_without_webhook_networks(&self) -> Replica {
        self.replica_with(&[]).await
    }

    /// One that is told this.
    pub(crate) async fn replica_with(&self, more: &[&str]) -> Replica {
        self.replica_in(&[], more).await
    }

    /// The same, with environment variables (`NAME=value`).
    pub(crate) async fn replica_in(&self, environment: &[&str], more: &[&str]) -> Replica {
        let port = || SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
        let (address, metrics) = (port(), port());
        let log = self.files.path().join(format!("{}.log", address.port()));
        let args: Vec<OsString> =
            [format!("KUBECONFIG={}", self.kubeconfig.display()), "RUST_LOG=info".to_owned()]
                .into_iter()
                .chain(environment.iter().map(|&variable| variable.to_owned()))
                .chain([
                    env!("CARGO_BIN_EXE_api-server").to_owned(),
                    format!("--redis-url=redis://{}", self.redis_proxy.address()),
                    format!("--namespace={}", self.system),
                    format!("--listen={address}"),
                    format!("--metrics-listen={metrics}"),
                    "--keys-in-paths".to_owned(),
                    "--drain-seconds=5".to_owned(),
                ])
                .chain(more.iter().map(|&more| more.to_owned()))
                .map(OsString::from)
                .collect();
        let process =
            Process::spawn_logged("env", args, fs::File::create(&log).expect("a log")).expect("a replica");
        let replica = Replica { process, address, metrics, log };
        let ready = wait_for("a replica to be ready", PATIENCE, async || {
            let answer = self.http.get(format!("http://{metrics}/readyz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        });
        if let Err(error) = ready.await {
            panic!("{error}: {}", replica.said());
        }
        replica
    }

    pub(crate) fn get(&self, replica: &Replica, path: &str, key: &str) -> RequestBuilder {
        self.http.get(format!("http://{}{path}", replica.address)).bearer_auth(key)
    }

    pub(crate) fn post(&self, replica: &Replica, path: &str, key: &str) -> RequestBuilder {
        self.http.post(format!("http://{}{path}", replica.address)).bearer_auth(key)
    }

    pub(crate) fn delete(&self, replica: &Replica, path: &str, key: &str) -> RequestBuilder {
        self.http.delete(format!("http://{}{path}", replica.address)).bearer_auth(key)
    }

    /// Writes a job's status, as the operator does.
    pub(crate) async fn say(&self, job: &str, conditions: &[(&str, &str)], more: Value) {
        let at = "2026-01-01T00:00:00Z";
        let condition = |(kind, reason): &(&str, &str)| {
            let status = if *kind == "Ready" && *reason != "Completed" { "False" } else { "True" };
            json!({"type": kind, "status": status, "reason": reason, "message": format!("It is {reason}."), "lastTransitionTime": at})
        };
        let mut status = json!({"conditions": conditions.iter().map(condition).collect::<Vec<_>>()});
        status.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let patch = Patch::Merge(json!({"status": status}));
        self.jobs().patch_status(job, &PatchParams::default(), &patch).await.expect("a status");
    }

    /// A queue of the studio's pool of this name.
    pub(crate) async fn queue(&self, pool: &str) -> Queue {
        let redis = queue::Redis::connect(&self.redis.url()).await.expect("connected");
        Queue::new(redis, &format!("{}/{pool}", self.studio))
    }

    /// Creates a pool of the studio with an S3 server as its bucket.
    pub(crate) async fn pool(&self, name: &str, s3: &S3, change: impl FnOnce(&mut Value)) {
        let keys = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"},
            "stringData": {"AWS_ACCESS_KEY_ID": s3.options().access_key, "AWS_SECRET_ACCESS_KEY": s3.options().secret_key}});
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.studio);
        secrets
            .patch("bucket", &PatchParams::apply("test").force(), &Patch::Apply(keys))
            .await
            .expect("keys");
        let mut pool = json!({
            "apiVersion": "imagejob.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": name},
            "spec": {
                "default": true,
                "engine": {"image": "comfyui:test"},
                "fleets": [{"name": "spot", "type": "Spot", "max": 4, "pricePerHour": "0.90"}],
                "classes": [{"name": "standard", "default": true, "slaSeconds": 300, "fleets": ["spot"]},
                    {"name": "relaxed", "slaSeconds": 600, "fleets": ["spot"]}],
                "fairness": {"tenancy": "Field"},
                "output": {"bucket": "images", "endpoint": s3.endpoint(), "pathStyle": true, "keyPrefix": "generated/",
                    "publicURL": format!("{}/images", s3.endpoint()), "credentialsSecretRef": {"name": "bucket"}},
            },
        });
        change(&mut pool);
        let api: Api<WorkerPool> = Api::namespaced(self.client.clone(), &self.studio);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&pool)).await.expect("a pool");
        if pool["status"].is_object() {
            let status = Patch::Merge(json!({"status": pool["status"]}));
            api.patch_status(name, &PatchParams::default(), &status).await.expect("a status");
        }
    }

    /// Where the files of the pool's jobs go, as a job's status has it.
    pub(crate) fn output(&self, pool: &str, s3: &S3) -> Value {
        json!({
            "pool": {"namespace": self.studio, "name": pool},
            "output": {"endpoint": s3.endpoint(), "bucket": "images", "keyPrefix": "generated/",
                "publicURL": format!("{}/images", s3.endpoint())},
        })
    }

    pub(crate) async fn how_many_jobs(&self) -> usize {
        self.jobs().list_metadata(&ListParams::default()).await.expect("a list").items.len()
    }
}

impl Replica {
    /// The value of a metric with these labels, as they are written in its text.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = reqwest::get(format!("http://{}/metrics", self.metrics)).await.ok()?.text().await.ok()?;
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    /// Its log.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(Path::new(&self.log)).unwrap_or_default()
    }
}

/// Sends it and reads the answer.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.expect("an answer")).await
}

/// What makes a picture.
pub(crate) fn picture(prompt: &str) -> Value {
    json!({"work": {"textToImage": {"model": "sd15.safetensors", "prompt": prompt}}})
}
