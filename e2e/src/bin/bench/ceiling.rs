//! What the API server does by itself: create an ImageJob, patch its status as often as the operator would.

use std::time::Instant;

use anyhow::Result;
use crds::{Counts, ImageJob, ImageJobStatus};
use futures::{TryStreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

/// Jobs per second with so many status patches each.
pub(crate) async fn jobs_per_s(
    client: &Client,
    namespace: &str,
    jobs: usize,
    patches: u32,
    at_once: usize,
) -> Result<f64> {
    let api: Api<ImageJob> = Api::namespaced(client.clone(), namespace);
    let begun = Instant::now();
    stream::iter((0..jobs).map(Ok::<_, anyhow::Error>))
        .try_for_each_concurrent(at_once, |n| {
            let api = api.clone();
            async move {
                let job = super::pipeline::job(&format!("ceiling-{n}"))?;
                let created = api.create(&PostParams::default(), &job).await?;
                for turn in 0..patches {
                    let counts = Counts { total: 1, succeeded: turn, ..Counts::default() };
                    let status = ImageJobStatus {
                        observed_generation: Some(1),
                        progress: Some(format!("{turn}/1")),
                        counts: Some(counts),
                        seed: Some(42),
                        ..ImageJobStatus::default()
                    };
                    let patch = Patch::Merge(json!({ "status": status }));
                    api.patch_status(&created.name_any(), &PatchParams::default(), &patch).await?;
                }
                Ok(())
            }
        })
        .await?;
    #[allow(clippy::cast_precision_loss)]
    let rate = jobs as f64 / begun.elapsed().as_secs_f64();
    Ok(rate)
}
