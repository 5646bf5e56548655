//! The API server that the tests of this binary share, with the CustomResourceDefinitions and the policies installed.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use crds::{ImageJob, ImageRecipe, ImageTenant, WorkerPool};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config, Error,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::ApiResource,
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::{Value, json};
use testkit::{Cluster, wait_for};

use crate::objects::{graph_job, with};

const ESTABLISHED_DEADLINE: Duration = Duration::from_secs(30);
/// The API server looks for new policies about once a second.
const ENFORCED_DEADLINE: Duration = Duration::from_secs(60);

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/base/policies.yaml");

pub(crate) struct Server {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) client: Client,
}

impl Server {
    pub(crate) async fn get() -> Self {
        static CRYPTO: Once = Once::new();
        CRYPTO.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
        let cluster = Cluster::shared().await.unwrap();
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        install(&client).await;
        let server = Self { cluster, client };
        server.enforce_policies().await;
        server
    }

    /// Jobs of the namespace `default` may name tenants.
    async fn enforce_policies(&self) {
        let kubectl = |args: &[&str]| self.cluster.kubectl(args).unwrap();
        kubectl(&["label", "--overwrite", "namespace", "default", "imagejob.dev/tenancy=field"]);
        kubectl(&["apply", "--server-side", "-f", POLICIES]);
        let no_workflow = with(graph_job(), "/spec/work/workflow/graph/9", &json!(9));
        wait_for("the policies to be enforced", ENFORCED_DEADLINE, async || {
            self.admit(&no_workflow).await.is_err().then_some(())
        })
        .await
        .unwrap();
    }

    /// Creates the object if it is valid, without keeping it.
    pub(crate) async fn admit(&self, object: &Value) -> Result<Value, String> {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let created = self.api(object).create(&dry_run, &typeless(object)).await;
        created.map(|object| serde_json::to_value(object).unwrap()).map_err(refusal)
    }

    /// Creates the object for good.
    pub(crate) async fn create(&self, object: &Value) -> Value {
        let created = self.api(object).create(&PostParams::default(), &typeless(object)).await.unwrap();
        serde_json::to_value(created).unwrap()
    }

    /// Replaces the object if the change is valid, without keeping it.
    pub(crate) async fn admit_change(&self, object: &Value) -> Result<Value, String> {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let name = object["metadata"]["name"].as_str().unwrap();
        let replaced = self.api(object).replace(name, &dry_run, &typeless(object)).await;
        replaced.map(|object| serde_json::to_value(object).unwrap()).map_err(refusal)
    }

    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let resource = match object["kind"].as_str() {
            Some("ImageJob") => ApiResource::erase::<ImageJob>(&()),
            Some("ImageRecipe") => ApiResource::erase::<ImageRecipe>(&()),
            Some("ImageTenant") => ApiResource::erase::<ImageTenant>(&()),
            Some("WorkerPool") => ApiResource::erase::<WorkerPool>(&()),
            kind => panic!("no kind of ours: {kind:?}"),
        };
        Api::namespaced_with(self.client.clone(), "default", &resource)
    }
}

async fn install(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in crds::crd::custom_resource_definitions().unwrap() {
        let name = definition.metadata.name.clone().unwrap();
        definitions
            .patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&definition))
            .await
            .unwrap();
        let established = await_condition(definitions.clone(), &name, is_crd_established());
        tokio::time::timeout(ESTABLISHED_DEADLINE, established).await.unwrap().unwrap();
    }
}

fn typeless(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).unwrap()
}

fn refusal(error: Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        error => panic!("the API server did not answer: {error}"),
    }
}
