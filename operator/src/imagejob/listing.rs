//! What came of a job's images and what they cost, as its status and its manifest list it. Pure.

use crds::{Cost, ExtraImage, Image, ImageFailure, ImageJob, ImageJobStatus, Money, conditions::cut};
use jiff::Timestamp;
use kube::ResourceExt as _;
use queue::{Outcome, StoredImage, TaskResult};
use store::{Manifest, Output};

use super::{
    status::time,
    validate::{namespace, uid},
};
use crate::{capacity, prices::PriceHistory};

/// Images listed in a status; more are in the manifest.
pub(crate) const MAX_IMAGES: usize = 100;
/// Failures listed in a status.
const MAX_FAILURES: usize = 20;
/// Further images listed per image.
const MAX_EXTRA: usize = 20;
const MAX_FAILURE_MESSAGE: usize = 1024;

/// What came of a job's tasks so far, and what is needed to tell of it.
pub(crate) struct Results<'a> {
    pub(crate) outcomes: &'a [Outcome],
    pub(crate) output: &'a Output,
    /// What a machine cost when each image was made.
    pub(crate) prices: PriceHistory,
    pub(crate) currency: &'a str,
}

/// Lists the images made and adds up their cost.
pub(crate) fn list(status: &mut ImageJobStatus, results: &Results<'_>) {
    let outcomes = results.outcomes;
    status.images = made(results).take(MAX_IMAGES).collect();
    status.failures = outcomes.iter().filter_map(failure).take(MAX_FAILURES).collect();
    status.cost = Some(cost(results));
}

/// The listing of every image, in the status's own words.
pub(crate) fn manifest(job: &ImageJob, results: &Results<'_>) -> Manifest<Image> {
    Manifest {
        namespace: namespace(job).to_owned(),
        name: job.name_any(),
        uid: uid(job).0,
        images: made(results).collect(),
    }
}

pub(super) fn made(results: &Results<'_>) -> impl Iterator<Item = Image> {
    results.outcomes.iter().filter_map(|outcome| image(outcome, results))
}

pub(super) fn image(outcome: &Outcome, results: &Results<'_>) -> Option<Image> {
    let output = results.output;
    let result = outcome.result.as_ref().ok()?;
    let (StoredImage { key, url: _, etag, bytes: _, width, height, seed }, extra) =
        result.images.split_first()?;
    Some(Image {
        index: outcome.index,
        url: output.url(key),
        key: key.clone(),
        etag: Some(etag.clone()),
        width: *width,
        height: *height,
        seed: *seed,
        gpu_seconds: seconds(result.gpu_ms),
        capacity: capacity::from_label(&result.capacity),
        amount: amounts(outcome, result, &results.prices).0,
        attempts: outcome.attempts,
        extra: extra
            .iter()
            .take(MAX_EXTRA)
            .map(|image| ExtraImage {
                url: output.url(&image.key),
                key: image.key.clone(),
                width: image.width,
                height: image.height,
            })
            .collect(),
    })
}

fn failure(outcome: &Outcome) -> Option<ImageFailure> {
    let error = outcome.result.as_ref().err()?;
    Some(ImageFailure {
        index: outcome.index,
        reason: error.reason.to_string(),
        message: cut(&error.message, MAX_FAILURE_MESSAGE),
        attempts: outcome.attempts,
    })
}

/// GPU time at the pool's prices of the time when each image was made, for where it was made and on demand.
pub(super) fn cost(results: &Results<'_>) -> Cost {
    let (mut gpu_ms, mut amount, mut on_demand_amount) = (0, Money::default(), Money::default());
    for outcome in results.outcomes {
        let Ok(result) = &outcome.result else { continue };
        let (here, on_demand) = amounts(outcome, result, &results.prices);
        gpu_ms += result.gpu_ms;
        amount = amount.plus(here);
        on_demand_amount = on_demand_amount.plus(on_demand);
    }
    Cost {
        gpu_seconds: seconds(gpu_ms),
        amount,
        on_demand_amount,
        saving_percent: amount.percent_below(on_demand_amount),
        currency: results.currency.to_owned(),
    }
}

/// What an image cost where it was made, and what it would have cost on demand.
fn amounts(outcome: &Outcome, result: &TaskResult, prices: &PriceHistory) -> (Money, Money) {
    let rates = prices.at(time(outcome.finished_ms).map_or(Timestamp::UNIX_EPOCH, |time| time.0));
    let here = rates.on(capacity::from_label(&result.capacity));
    (here.per_hour_for(result.gpu_ms), rates.on_demand().per_hour_for(result.gpu_ms))
}

/// To follow what was made: `, 0.0021 USD, 71 % below on-demand`.
pub(super) fn price(cost: &Cost) -> String {
    let Cost { gpu_seconds: _, amount, on_demand_amount: _, saving_percent, currency } = cost;
    match saving_percent {
        _ if *amount == Money::default() => String::new(),
        0 => format!(", {amount} {currency}"),
        percent => format!(", {amount} {currency}, {percent} % below on-demand"),
    }
}

#[allow(clippy::cast_precision_loss)] // exact for 285,000 years
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
