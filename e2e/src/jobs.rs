//! A namespace with a pool, as a team would have it, and its jobs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::{
    Image, ImageJob, ImageJobSpec, WorkerPool,
    conditions::{ConditionType, find_condition, is_true},
};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
    core::ObjectMeta,
};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::world::{BUCKET, World};

/// The model every engine has.
pub const MODEL: &str = "v1-5-pruned.safetensors";
const PRESENT: &str = "sd15";

/// A namespace with a default pool `sd15`.
pub struct Studio<'a> {
    /// Where it is.
    pub world: &'a World,
    /// Its name.
    pub namespace: String,
}

/// A job that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The job, as last seen.
    pub job: ImageJob,
}

impl<'a> Studio<'a> {
    /// Makes the namespace and its pool; `change` may change the pool's spec first.
    ///
    /// # Errors
    /// When the API server refuses any of it.
    pub async fn open(world: &'a World, namespace: &str, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let studio = Self { world, namespace: namespace.to_owned() };
        let mut pool = studio.pool();
        change(&mut pool["spec"]);
        let pool: WorkerPool = serde_json::from_value(pool)?;
        let labels = [("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())];
        let metadata = ObjectMeta {
            name: Some(namespace.to_owned()),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        };
        let new = PostParams::default();
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(world.client.clone()).create(&new, &namespace).await?;
        studio.api::<Secret>().create(&new, &studio.credentials()).await?;
        studio.api::<WorkerPool>().create(&new, &pool).await?;
        Ok(studio)
    }

    fn credentials(&self) -> Secret {
        let options = self.world.s3.options();
        let data = [
            ("AWS_ACCESS_KEY_ID".to_owned(), options.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), options.secret_key.clone()),
        ];
        let metadata = ObjectMeta { name: Some("bucket".to_owned()), ..ObjectMeta::default() };
        Secret { metadata, string_data: Some(data.into()), ..Secret::default() }
    }

    fn pool(&self) -> Value {
        let endpoint = self.world.s3.endpoint();
        json!({
            "apiVersion": "imagejob.dev/v1alpha1",
            "kind": "WorkerPool",
            "metadata": { "name": PRESENT, "namespace": self.namespace },
            "spec": {
                "default": true,
                "engine": { "image": "comfyui:sim", "args": self.engine_args() },
                "capacity": {
                    "spot": {
                        "max": 4, "pricePerHour": "0.90",
                        "nodeSelector": { "karpenter.sh/capacity-type": "spot" },
                    },
                    "onDemand": {
                        "max": 2, "pricePerHour": "3.06",
                        "nodeSelector": { "karpenter.sh/capacity-type": "on-demand" },
                    },
                },
                "classes": [
                    { "name": "immediate", "slaSeconds": 30, "capacity": "OnDemand" },
                    { "name": "standard", "slaSeconds": 300, "capacity": "SpotThenOnDemand", "default": true },
                    { "name": "relaxed", "slaSeconds": 600, "capacity": "Spot" },
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

    /// Changes a job's spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn change(&self, name: &str, spec: Value) -> Result<ImageJob> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        Ok(self.api().patch(name, &PatchParams::default(), &patch).await?)
    }

    /// Waits until a job shows what `look` looks for.
    ///
    /// # Errors
    /// When it doesn't in time; what there is to see is in the error.
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
        found.await.with_context(|| self.world.dump())
    }

    /// Waits until a job has ended, however.
    ///
    /// # Errors
    /// When it hasn't in time.
    pub async fn ended(&self, name: &str, within: Duration) -> Result<Finished> {
        self.until(name, "to end", within, finished).await
    }

    /// The job, if it has ended.
    ///
    /// # Errors
    /// When the API server does not answer.
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
    /// When it fails, or isn't in time.
    pub async fn complete(&self, name: &str, within: Duration) -> Result<Finished> {
        let finished = self.ended(name, within).await?;
        let (reason, message) = finished.ready();
        ensure!(reason == "Completed", "job {name}: {reason}: {message}\n{}", self.world.dump());
        Ok(finished)
    }

    /// The worker Pods there are.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn workers(&self) -> Result<Vec<Pod>> {
        let workers = ListParams::default().labels(&format!("imagejob.dev/pool={PRESENT}"));
        Ok(self.api::<Pod>().list(&workers).await?.items)
    }

    /// Waits until the pool has no workers left.
    ///
    /// # Errors
    /// When it keeps some.
    pub async fn back_to_zero(&self, within: Duration) -> Result<()> {
        let gone = wait_for("the pool to go back to zero", within, async || {
            self.workers().await.ok().filter(Vec::is_empty)
        });
        gone.await.map(drop).with_context(|| self.world.dump())
    }
}

fn finished(job: &ImageJob) -> Option<Finished> {
    let conditions = &job.status.as_ref()?.conditions;
    let ended = is_true(conditions, ConditionType::Complete) || is_true(conditions, ConditionType::Failed);
    ended.then(|| Finished { job: job.clone() })
}

impl Finished {
    /// The reason and message of its Ready condition.
    #[must_use]
    pub fn ready(&self) -> (String, String) {
        let conditions = self.job.status.as_ref().map(|status| status.conditions.as_slice());
        let ready = find_condition(conditions.unwrap_or_default(), ConditionType::Ready);
        ready.map(|ready| (ready.reason.clone(), ready.message.clone())).unwrap_or_default()
    }

    /// The images in its status.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        self.job.status.as_ref().map(|status| status.images.as_slice()).unwrap_or_default()
    }

    /// Checks that there is every image once, each at its own address, and that each can be fetched and is a
    /// PNG of the size the status gives.
    ///
    /// # Errors
    /// If not; it says which.
    pub async fn check_images(&self) -> Result<()> {
        let count = usize::try_from(self.job.spec.count)?;
        let images = self.images();
        let indices: Vec<_> = images.iter().map(|image| usize::try_from(image.index)).collect();
        ensure!(
            indices == (0..count).map(Ok).collect::<Vec<_>>(),
            "images of {}: {images:#?}",
            self.job.name_any()
        );
        let urls: std::collections::HashSet<_> = images.iter().map(|image| &image.url).collect();
        ensure!(urls.len() == count, "two images of {} share an address", self.job.name_any());
        for image in images {
            let bytes = reqwest::get(&image.url).await?.error_for_status()?.bytes().await?;
            let decoded = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info()?;
            let size = (decoded.info().width, decoded.info().height);
            ensure!(size == (image.width, image.height), "{} is {size:?}", image.url);
        }
        Ok(())
    }
}

/// The spec of a plain picture job.
#[must_use]
pub fn text_to_image(prompt: &str, steps: u32, count: u32) -> Value {
    json!({
        "textToImage": { "model": MODEL, "prompt": prompt, "steps": steps },
        "count": count,
    })
}
