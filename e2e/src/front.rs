//! The HTTP API as an application uses it.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use crds::ImageTenant;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::{deploy::SYSTEM, world::World};

const READY: Duration = Duration::from_secs(60);
const PORT: u16 = 8000;

impl World {
    /// Creates or changes a tenant of the HTTP API, whose jobs are in a namespace.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn tenant(&self, name: &str, namespace: &str, spec: &Value) -> Result<()> {
        let mut tenant = json!({ "apiVersion": "imagejob.dev/v1alpha1", "kind": "ImageTenant", "metadata": { "name": name }, "spec": spec });
        tenant["spec"]["namespace"] = namespace.into();
        let api: Api<ImageTenant> = Api::namespaced(self.client.clone(), SYSTEM);
        api.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(tenant)).await?;
        Ok(())
    }

    /// A new API key of a tenant, as its administrator makes it.
    ///
    /// # Errors
    /// When it is not made.
    pub fn api_key(&self, tenant: &str) -> Result<String> {
        let output = Command::new(self.programs.path("api-server"))
            .args(["--namespace", SYSTEM, "create-key", "--tenant", tenant])
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The addresses of the API's replicas that are ready; waits until there is one.
    ///
    /// # Errors
    /// When none is ready in time.
    pub async fn api_addresses(&self) -> Result<Vec<SocketAddr>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let of_api = ListParams::default().labels("app.kubernetes.io/name=imagejob-api");
        let ready = wait_for("the HTTP API to be ready", READY, async || {
            let pods = pods.list(&of_api).await.ok()?;
            let addresses: Vec<SocketAddr> = pods.into_iter().filter_map(ready_at).collect();
            (!addresses.is_empty()).then_some(addresses)
        });
        ready.await.with_context(|| self.dump())
    }

    /// The URL of the HTTP API: that of one of its replicas.
    ///
    /// # Errors
    /// When none is ready in time.
    pub async fn api_url(&self) -> Result<String> {
        let addresses = self.api_addresses().await?;
        Ok(format!("http://{}", addresses.first().context("no replica")?))
    }
}

fn ready_at(pod: Pod) -> Option<SocketAddr> {
    let status = pod.status.filter(|_| pod.metadata.deletion_timestamp.is_none())?;
    let conditions = status.conditions.unwrap_or_default();
    conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some((status.pod_ip?.parse::<std::net::IpAddr>().ok()?, PORT).into())
}
