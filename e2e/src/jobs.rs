//! A namespace with a pool, as a team has it, and its jobs.

use std::{
    ffi::OsStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use crds::{
    Fleet, ImageJob, ImageJobSpec, WorkerPool,
    conditions::{ConditionType, JobReason, find_condition},
};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Secret},
    events::v1::Event,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::ObjectMeta,
};
use queue::{LeaseSeen, Queue};
use serde_json::{Value, json};
use testkit::{S3Options, wait_for};

use crate::{
    deploy::SYSTEM,
    finished::{Finished, finished, ready},
    world::{BUCKET, World},
};

/// The model that every engine has.
pub const MODEL: &str = "v1-5-pruned.safetensors";
const PRESENT: &str = "sd15";

/// A namespace with a default pool `sd15`.
pub struct Studio<'a> {
    /// The world in which the namespace is.
    pub world: &'a World,
    /// The namespace's name.
    pub namespace: String,
    /// The uids of the jobs that were deleted.
    deleted: Mutex<Vec<String>>,
}

/// A worker that is making a picture.
#[derive(Debug, Clone)]
pub struct Caught {
    /// The task that the worker works on.
    pub lease: LeaseSeen,
    /// The worker's Pod.
    pub pod: Pod,
    /// The worker's machine.
    pub machine: String,
}

impl<'a> Studio<'a> {
    /// The studio of a namespace that exists already.
    #[must_use]
    pub fn of(world: &'a World, namespace: &str) -> Self {
        Self { world, namespace: namespace.to_owned(), deleted: Mutex::default() }
    }

    /// Creates the namespace and its pool; `change` may edit the pool's spec before. Its fleets are `spot` and
    /// `on-demand`, in this order.
    ///
    /// # Errors
    /// If the API server refuses one of the objects.
    pub async fn open(world: &'a World, namespace: &str, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let studio = Self::of(world, namespace);
        let mut pool = studio.pool(PRESENT);
        change(&mut pool["spec"]);
        let mut labels = vec![("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())];
        if pool["spec"]["fairness"]["tenancy"] == "Field" {
            labels.push(("imagejob.dev/tenancy".to_owned(), "field".to_owned()));
        }
        let metadata = ObjectMeta {
            name: Some(namespace.to_owned()),
            labels: Some(labels.into_iter().collect()),
            ..ObjectMeta::default()
        };
        let new = PostParams::default();
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(world.client.clone()).create(&new, &namespace).await?;
        studio.api::<Secret>().create(&new, &studio.credentials()).await?;
        studio.let_the_api_read_the_bucket().await?;
        studio.create_pool(pool).await?;
        Ok(studio)
    }

    /// Creates a pool; `change` may edit its spec before.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn add_pool(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut pool = self.pool(name);
        change(&mut pool["spec"]);
        self.create_pool(pool).await
    }

    async fn create_pool(&self, pool: Value) -> Result<()> {
        let pool: WorkerPool = serde_json::from_value(pool)?;
        self.api().create(&PostParams::default(), &pool).await?;
        Ok(())
    }

    /// Changes the pool's spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn change_pool(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.api::<WorkerPool>().patch(PRESENT, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Changes one fleet of the pool.
    ///
    /// # Errors
    /// When the pool has no such fleet, or the API server refuses the change.
    pub async fn change_fleet(&self, name: &str, change: impl FnOnce(&mut Fleet)) -> Result<()> {
        let mut fleets = self.api::<WorkerPool>().get(PRESENT).await?.spec.fleets;
        let fleet = fleets.iter_mut().find(|fleet| fleet.name == name);
        change(fleet.with_context(|| format!("the pool has no fleet {name}"))?);
        self.change_pool(json!({ "fleets": fleets })).await
    }

    /// Deletes the pool.
    ///
    /// # Errors
    /// When there is none.
    pub async fn delete_pool(&self) -> Result<()> {
        self.api::<WorkerPool>().delete(PRESENT, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the reason and message of the pool's Ready condition are as looked for.
    ///
    /// # Errors
    /// When they aren't in time; what they were at last is in the error.
    pub async fn pool_says(&self, looked_for: impl Fn(&str, &str) -> bool, within: Duration) -> Result<()> {
        let last = Mutex::new(String::new());
        let says = async || {
            let pool = self.api::<WorkerPool>().get(PRESENT).await.ok()?;
            let ready = find_condition(&pool.status.as_ref()?.conditions, ConditionType::Ready)?.clone();
            *last.lock().unwrap_or_else(PoisonError::into_inner) =
                format!("{}: {}", ready.reason, ready.message);
            looked_for(&ready.reason, &ready.message).then_some(())
        };
        let found = wait_for("the pool to say so", within, says).await;
        found.with_context(|| last.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The HTTP API hands files of the bucket over, with the pool's credentials.
    async fn let_the_api_read_the_bucket(&self) -> Result<()> {
        let metadata = json!({ "name": "imagejob-api-bucket" });
        let role: Role = serde_json::from_value(json!({
            "metadata": metadata,
            "rules": [{ "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["bucket"], "verbs": ["get"] }],
        }))?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "imagejob-api-bucket" },
            "subjects": [{ "kind": "ServiceAccount", "name": "imagejob-api", "namespace": SYSTEM }],
        }))?;
        self.api().create(&PostParams::default(), &role).await?;
        self.api().create(&PostParams::default(), &binding).await?;
        Ok(())
    }

    fn credentials(&self) -> Secret {
        let keys = S3Options::default();
        let data = [
            ("AWS_ACCESS_KEY_ID".to_owned(), keys.access_key),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), keys.secret_key),
        ];
        let metadata = ObjectMeta { name: Some("bucket".to_owned()), ..ObjectMeta::default() };
        Secret { metadata, string_data: Some(data.into()), ..Secret::default() }
    }

    fn pool(&self, name: &str) -> Value {
        let endpoint = self.world.s3_endpoint();
        json!({
            "apiVersion": "imagejob.dev/v1alpha1",
            "kind": "WorkerPool",
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": {
                "default": true,
                "engine": { "image": "comfyui:sim", "args": self.engine_args() },
                "fleets": [
                    {
                        "name": "spot", "type": "Spot", "max": 4, "pricePerHour": "0.90",
                        "nodeSelector": { "karpenter.sh/capacity-type": "spot" },
                    },
                    {
                        "name": "on-demand", "type": "OnDemand", "max": 2, "pricePerHour": "3.06",
                        "nodeSelector": { "karpenter.sh/capacity-type": "on-demand" },
                    },
                ],
                "classes": [
                    { "name": "immediate", "slaSeconds": 30, "fleets": ["on-demand"] },
                    { "name": "standard", "slaSeconds": 300, "fleets": ["spot", "on-demand"], "default": true },
                    { "name": "relaxed", "slaSeconds": 600, "fleets": ["spot"] },
                ],
                "scaling": { "idleSeconds": 5 },
                "output": {
                    "bucket": BUCKET, "endpoint": endpoint, "pathStyle": true, "keyPrefix": "generated/",
                    "publicURL": format!("{endpoint}/{BUCKET}"), "credentialsSecretRef": { "name": "bucket" },
                },
            },
        })
    }

    fn engine_args(&self) -> Vec<String> {
        let mut args: Vec<String> = ["--listen", "0.0.0.0", "--port", "8188"].map(str::to_owned).into();
        args.extend(self.world.engine_args().iter().cloned());
        args
    }

    /// The namespace's objects of one kind.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    /// Creates a job.
    ///
    /// # Errors
    /// When the API server refuses it; its message is in the error.
    pub async fn submit(&self, name: &str, spec: Value) -> Result<ImageJob> {
        let spec: ImageJobSpec = serde_json::from_value(spec).context("the spec in the test")?;
        let job = ImageJob::new(name, spec);
        self.api().create(&PostParams::default(), &job).await.with_context(|| format!("create {name}"))
    }

    /// Creates a job from any spec, valid or not, with kubectl, and returns kubectl's output.
    ///
    /// # Errors
    /// If the API server refuses the job; the error contains its message.
    pub fn create_as_user(&self, name: &str, spec: &Value) -> Result<String> {
        let metadata = json!({ "name": name, "namespace": self.namespace });
        let job = json!({ "apiVersion": "imagejob.dev/v1alpha1", "kind": "ImageJob", "metadata": metadata, "spec": spec });
        let mut file = tempfile::NamedTempFile::new()?;
        serde_json::to_writer(&mut file, &job)?;
        self.world.cluster.kubectl([OsStr::new("create"), OsStr::new("-f"), file.path().as_os_str()])
    }

    /// Changes a job's spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn change(&self, name: &str, spec: Value) -> Result<ImageJob> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        Ok(self.api().patch(name, &PatchParams::default(), &patch).await?)
    }

    /// Deletes a job.
    ///
    /// # Errors
    /// When there is no such job.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let deleted = self.api::<ImageJob>().delete(name, &DeleteParams::default()).await?;
        let uid = deleted.either(|job| job.uid(), |status| status.details.map(|details| details.uid));
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner).extend(uid);
        Ok(())
    }

    /// The uids of the jobs that were deleted so far.
    #[must_use]
    pub fn deleted(&self) -> Vec<String> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pool's queue.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn queue(&self) -> Result<Queue> {
        let redis = queue::Redis::connect(self.world.redis_url()).await?;
        Ok(Queue::new(redis, &format!("{}/{PRESENT}", self.namespace)))
    }

    /// Waits until a worker of the pool is in the middle of a picture, or has worked on one for a second.
    ///
    /// # Errors
    /// If no worker is in time.
    pub async fn caught(&self, within: Duration) -> Result<Caught> {
        const AT_IT_MS: u64 = 1000;
        let queue = self.queue().await?;
        wait_for("a worker to be in the middle of a picture", within, async || {
            let stats = queue.stats().await.ok()?;
            let unfinished = |lease: &LeaseSeen| lease.progress.is_none_or(|(done, all)| done < all);
            let at_it = |lease: &LeaseSeen| stats.now_ms >= lease.started_ms + AT_IT_MS && unfinished(lease);
            let lease = stats.leases.into_iter().find(at_it)?;
            let pod = self.api::<Pod>().get_opt(&lease.worker.0).await.ok()??;
            let machine = pod.spec.as_ref()?.node_name.clone()?;
            Some(Caught { lease, pod, machine })
        })
        .await
    }

    /// Waits until a job's Ready condition has this reason, and returns the condition's message.
    ///
    /// # Errors
    /// If the condition does not have the reason in time.
    pub async fn reason(&self, name: &str, reason: JobReason, within: Duration) -> Result<String> {
        let mut last = String::new();
        let says = |job: &ImageJob| {
            let (is, message) = ready(job);
            last = format!("at last: {is}: {message}");
            (is == reason.as_str()).then_some(message)
        };
        let found = self.until(name, reason.as_str(), within, says).await;
        found.context(last)
    }

    /// Every version of a job from its creation until it has ended, as a watcher sees them.
    ///
    /// # Errors
    /// When the API server ends the watch before.
    pub async fn history(&self, created: &ImageJob) -> Result<Vec<ImageJob>> {
        let only = WatchParams::default().fields(&format!("metadata.name={}", created.name_any()));
        let since = created.resource_version().context("an object of the API server has a version")?;
        let mut events = self.api::<ImageJob>().watch(&only, &since).await?.boxed();
        let mut versions = Vec::new();
        while let Some(event) = events.try_next().await? {
            let WatchEvent::Modified(job) = event else { continue };
            versions.push(job);
            if versions.last().and_then(finished).is_some() {
                return Ok(versions);
            }
        }
        bail!("the watch ended before {} did", created.name_any())
    }

    /// The reasons of the Events on a job, oldest first.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn events(&self, job: &ImageJob) -> Result<Vec<String>> {
        let uid = job.uid().unwrap_or_default();
        let of_job = ListParams::default().fields(&format!("regarding.uid={uid}"));
        let mut events = self.api::<Event>().list(&of_job).await?.items;
        events.sort_by_key(|event| event.event_time.clone());
        Ok(events.into_iter().filter_map(|event| event.reason).collect())
    }

    /// Waits until `look` returns a value for the job, and returns that value.
    ///
    /// # Errors
    /// If it returns none in time.
    pub async fn until<T>(
        &self,
        name: &str,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&ImageJob) -> Option<T>,
    ) -> Result<T> {
        let jobs: Api<ImageJob> = self.api();
        let what = format!("job {name}: {what}");
        let found = wait_for(&what, within, async || jobs.get(name).await.ok().as_ref().and_then(&mut look));
        found.await
    }

    /// Waits until a job has ended with any result.
    ///
    /// # Errors
    /// If the job has not ended in time.
    pub async fn ended(&self, name: &str, within: Duration) -> Result<Finished> {
        self.until(name, "to end", within, finished).await
    }

    /// Returns a job if it has ended.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn if_ended(&self, name: &str) -> Result<Option<Finished>> {
        Ok(finished(&self.api().get(name).await?))
    }

    /// The node of a worker, if it has one.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn node_of(&self, worker: &str) -> Result<Option<String>> {
        let pod = self.api::<Pod>().get_opt(worker).await?;
        Ok(pod.and_then(|pod| pod.spec).and_then(|spec| spec.node_name))
    }

    /// Waits until a job is Complete.
    ///
    /// # Errors
    /// If the job fails, or is not Complete in time.
    pub async fn complete(&self, name: &str, within: Duration) -> Result<Finished> {
        let finished = self.ended(name, within).await?;
        let (reason, message) = finished.ready();
        ensure!(reason == "Completed", "job {name}: {reason}: {message}");
        Ok(finished)
    }

    /// The Pods of all workers.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn workers(&self) -> Result<Vec<Pod>> {
        let workers = ListParams::default().labels(&format!("imagejob.dev/pool={PRESENT}"));
        Ok(self.api::<Pod>().list(&workers).await?.items)
    }

    /// Waits until the pool has no workers.
    ///
    /// # Errors
    /// If it has workers after that time.
    pub async fn back_to_zero(&self, within: Duration) -> Result<()> {
        let gone = wait_for("the pool to go back to zero", within, async || {
            self.workers().await.ok().filter(Vec::is_empty)
        });
        gone.await.map(drop)
    }
}

/// The spec of a job with plain pictures.
#[must_use]
pub fn text_to_image(prompt: &str, steps: u32, count: u32) -> Value {
    json!({
        "work": {
            "type": "TextToImage",
            "textToImage": { "model": MODEL, "prompt": prompt, "steps": steps },
        },
        "count": count,
    })
}
