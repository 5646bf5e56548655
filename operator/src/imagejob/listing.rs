//! What came of a job's images and what they cost, as its status lists it. Pure.

use std::{collections::VecDeque, sync::Arc};

use crds::{
    Cost, Decimal, ImageFailure, ImageJobStatus, JobOutput, JobResult, Money, OutputFile, Timings,
    conditions::cut,
};
use jiff::Timestamp;
use queue::{Outcome, StoredFile, TaskError, TaskResult};

use crate::{
    capacity,
    workerpool::{ledger::Images, prices::PriceHistory},
};

/// Images listed in a status; the manifest of a job with more lists all.
pub(crate) const MAX_IMAGES: usize = 100;
/// The listed images take so many bytes at most: a status has to fit into etcd beside a workflow.
const MAX_BYTES: usize = 256 * 1024;
/// What an image takes beside its files, and a file beside its texts.
const RESULT_BYTES: usize = 250;
const FILE_BYTES: usize = 230;
/// Failures listed in a status.
const MAX_FAILURES: usize = 20;
/// Files listed per image.
const MAX_FILES: usize = 20;
const MAX_FAILURE_MESSAGE: usize = 1024;
/// Of the latest images so many tell how long an image takes.
const LATEST: u8 = 20;

/// An image that failed for good, as a status lists it.
pub(crate) fn failure(index: u32, attempts: u32, error: &TaskError) -> ImageFailure {
    let message = cut(&error.message, MAX_FAILURE_MESSAGE);
    ImageFailure { index, reason: error.reason.to_string(), message, attempts }
}

/// Adds up outcomes, so that those of ten thousand images need not be in memory together.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    output: Arc<JobOutput>,
    prices: Arc<PriceHistory>,
    currency: String,
    results: Vec<JobResult>,
    bytes: usize,
    failures: Vec<ImageFailure>,
    gpu_ms: u64,
    amount: Money,
    on_demand: Money,
    made: u64,
    last_ms: Option<u64>,
    /// When the latest images were finished, and their GPU time; ms.
    latest: VecDeque<(u64, u64)>,
}

impl Tally {
    /// `output`: where the images go. `prices`: what a machine cost when each image was made.
    pub(crate) fn new(output: Arc<JobOutput>, prices: Arc<PriceHistory>, currency: String) -> Self {
        Self {
            output,
            prices,
            currency,
            results: Vec::new(),
            bytes: 0,
            failures: Vec::new(),
            gpu_ms: 0,
            amount: Money::default(),
            on_demand: Money::default(),
            made: 0,
            last_ms: None,
            latest: VecDeque::new(),
        }
    }

    /// So many of the latest outcomes tell how long an image takes.
    pub(crate) fn enough(&self) -> u32 {
        LATEST.into()
    }

    /// Adds an outcome; they come in the order of their indices.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.last_ms = self.last_ms.max(Some(outcome.finished_ms));
        match &outcome.result {
            Ok(result) => {
                let (here, on_demand) = self.amounts(outcome, result);
                self.made += 1;
                self.gpu_ms += result.gpu_ms;
                self.amount = self.amount.plus(here);
                self.on_demand = self.on_demand.plus(on_demand);
                if !result.found {
                    self.learn(outcome.finished_ms, result.gpu_ms);
                }
                self.list(self.result(outcome, result, here));
            }
            Err(error) if self.failures.len() < MAX_FAILURES => {
                self.failures.push(failure(outcome.index, outcome.attempts, error));
            }
            Err(_) => {}
        }
    }

    /// Lists the images made and what they cost.
    pub(crate) fn show(&self, status: &mut ImageJobStatus) {
        status.results.clone_from(&self.results);
        status.failures.clone_from(&self.failures);
        status.cost = Some(self.cost());
    }

    pub(crate) fn cost(&self) -> Cost {
        Cost {
            gpu_seconds: Decimal::seconds(self.gpu_ms),
            amount: self.amount,
            on_demand_amount: self.on_demand,
            saving_percent: self.amount.percent_below(self.on_demand),
            currency: self.currency.clone(),
        }
    }

    /// For the pool's accounts.
    pub(crate) fn booked(&self) -> Images {
        Images { made: self.made, gpu_ms: self.gpu_ms, amount: self.amount, on_demand: self.on_demand }
    }

    pub(crate) fn failures(&self) -> &[ImageFailure] {
        &self.failures
    }

    /// The address of an object of the job.
    pub(crate) fn url(&self, key: &str) -> String {
        url(&self.output.public_url, key)
    }

    /// When the last image was finished, ms since the Unix epoch.
    pub(crate) fn last_ms(&self) -> Option<u64> {
        self.last_ms
    }

    /// The GPU time, ms, of the latest images that were finished after `since_ms`.
    pub(crate) fn latest(&self, since_ms: u64) -> impl Iterator<Item = u64> {
        self.latest.iter().filter(move |(finished, _)| *finished > since_ms).map(|(_, gpu_ms)| *gpu_ms)
    }

    fn learn(&mut self, finished_ms: u64, gpu_ms: u64) {
        if self.latest.len() == usize::from(LATEST) {
            self.latest.pop_front();
        }
        self.latest.push_back((finished_ms, gpu_ms));
    }

    /// What does not fit any more is left out: the list is of the first images.
    fn list(&mut self, result: JobResult) {
        let files = result.outputs.iter();
        let files = files
            .map(|file| FILE_BYTES + file.url.len() + file.key.len() + file.name.len() + file.node.len());
        let bytes = RESULT_BYTES + files.sum::<usize>();
        if self.results.len() < MAX_IMAGES && self.bytes + bytes <= MAX_BYTES {
            self.bytes += bytes;
            self.results.push(result);
        } else {
            self.bytes = MAX_BYTES;
        }
    }

    fn result(&self, outcome: &Outcome, result: &TaskResult, amount: Money) -> JobResult {
        JobResult {
            index: outcome.index,
            outputs: result.outputs.iter().take(MAX_FILES).map(|file| self.file(file)).collect(),
            seed: result.seed,
            gpu_seconds: Decimal::seconds(result.gpu_ms),
            capacity: capacity::from_label(&result.capacity),
            amount,
            attempts: outcome.attempts,
            timings: result.timings.map(|timings| {
                let queue::Timings { queue_ms, load_ms, sample_ms, decode_ms, upload_ms } = timings;
                Timings { queue_ms, load_ms, sample_ms, decode_ms, upload_ms }
            }),
        }
    }

    fn file(&self, file: &StoredFile) -> OutputFile {
        let StoredFile {
            node,
            name,
            media_type,
            bytes,
            sha256,
            width,
            height,
            duration_ms,
            key,
            url,
            etag: _,
        } = file;
        OutputFile {
            node: node.clone(),
            name: name.clone(),
            media_type: media_type.clone(),
            bytes: *bytes,
            sha256: sha256.clone(),
            width: *width,
            height: *height,
            duration_seconds: duration_ms.map(Decimal::seconds),
            key: key.clone(),
            // Where it is the worker knows best: the pool may say otherwise since.
            url: url.clone().unwrap_or_else(|| self.url(key)),
        }
    }

    /// What an image cost where it was made, and what it would have cost on demand, at the prices of the time.
    fn amounts(&self, outcome: &Outcome, result: &TaskResult) -> (Money, Money) {
        let finished = i64::try_from(outcome.finished_ms).ok();
        let finished = finished.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let rates = self.prices.at(finished.unwrap_or(Timestamp::UNIX_EPOCH));
        let here = rates.on(capacity::from_label(&result.capacity));
        (here.per_hour_for(result.gpu_ms), rates.on_demand().per_hour_for(result.gpu_ms))
    }
}

/// The address of an object: what a path may not hold is escaped.
pub(crate) fn url(public_url: &str, key: &str) -> String {
    use std::fmt::Write as _;
    let mut url = public_url.trim_end_matches('/').to_owned();
    url.push('/');
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' => url.push(byte.into()),
            _ if b"-._~!$&'()*+,;=:@".contains(&byte) => url.push(byte.into()),
            // Writing to a String does not fail.
            _ => drop(write!(url, "%{byte:02X}")),
        }
    }
    url
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

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;
    use queue::{TaskError, WorkerId};
    use serde_json::json;

    use super::*;
    use crate::fixtures::{at, pool, pool_with};

    pub(crate) fn ms(seconds: i64) -> u64 {
        u64::try_from(at(seconds).as_millisecond()).unwrap()
    }

    pub(crate) fn tally() -> Tally {
        let output = JobOutput {
            endpoint: None,
            bucket: "pictures".into(),
            key_prefix: String::new(),
            public_url: "https://cdn.example.com".into(),
        };
        Tally::new(Arc::new(output), Arc::new(PriceHistory::of(&pool())), "USD".into())
    }

    pub(crate) fn file(key: &str) -> StoredFile {
        StoredFile {
            node: "9".into(),
            name: "image_00000.png".into(),
            media_type: "image/png".into(),
            bytes: 1000,
            sha256: Some("ab".repeat(32)),
            width: Some(512),
            height: Some(512),
            duration_ms: None,
            key: key.into(),
            url: None,
            etag: "e".into(),
        }
    }

    pub(crate) fn made(index: u32, capacity: &str, gpu_ms: u64, at_seconds: i64) -> Outcome {
        let result = TaskResult {
            outputs: vec![file(&format!("{index}.png"))],
            seed: Some(42 + u64::from(index)),
            gpu_ms,
            capacity: capacity.into(),
            worker: WorkerId("w".into()),
            found: false,
            timings: None,
        };
        Outcome { index, attempts: 1, finished_ms: ms(at_seconds), result: Ok(result) }
    }

    pub(crate) fn broken(index: u32, reason: &str, message: &str) -> Outcome {
        let error = TaskError { reason: queue::Reason::parse(reason), message: message.into() };
        Outcome { index, attempts: 3, finished_ms: ms(20), result: Err(error) }
    }

    pub(crate) fn tallied(outcomes: &[Outcome]) -> Tally {
        let mut tally = tally();
        outcomes.iter().for_each(|outcome| tally.add(outcome));
        tally
    }

    #[test]
    fn images_are_listed_with_their_cost_where_they_were_made_and_on_demand() {
        let tally = tallied(&[
            made(0, "spot", 4000, 10),
            broken(1, "Timeout", "300 s are over"),
            made(2, "onDemand", 4000, 12),
        ]);
        let mut status = ImageJobStatus::default();
        tally.show(&mut status);
        let listed: Vec<_> =
            status.results.iter().map(|r| (r.index, r.outputs[0].url.as_str(), r.seed)).collect();
        assert_eq!(
            listed,
            [(0, "https://cdn.example.com/0.png", Some(42)), (2, "https://cdn.example.com/2.png", Some(44))]
        );
        assert_eq!(status.failures[0].reason, "Timeout");
        let cost = status.cost.unwrap();
        assert_eq!((cost.amount.to_string().as_str(), cost.saving_percent), ("0.005", 38));
        assert_eq!(cost.on_demand_amount.to_string(), "0.008");
        assert_eq!(price(&tally.cost()), ", 0.005 USD, 38 % below on-demand");
    }

    #[test]
    fn what_was_made_before_a_price_changed_costs_what_it_did() {
        let at_price = |price| json!([{"name": "spot", "type": "Spot", "pricePerHour": price}]);
        let pool = pool_with(json!({"status": {"cost": {"perHour": "0", "onDemandPerHour": "0",
            "currency": "USD", "prices": [
                {"since": Timestamp::UNIX_EPOCH, "fleets": at_price("3.60")},
                {"since": at(100), "fleets": at_price("7.20")}]}}}));
        let mut tally = Tally { prices: Arc::new(PriceHistory::of(&pool)), ..tally() };
        tally.add(&made(0, "spot", 1000, 99));
        tally.add(&made(1, "spot", 1000, 101));
        let amounts: Vec<String> = tally.results.iter().map(|result| result.amount.to_string()).collect();
        assert_eq!(amounts, ["0.001", "0.002"]);
    }

    #[test]
    fn a_status_lists_no_more_than_fits() {
        let many: Vec<_> = (0..150).map(|n| made(n, "spot", 1000, 10)).collect();
        let tally = tallied(&many);
        assert_eq!((tally.results.len(), tally.made), (MAX_IMAGES, 150));
        let extras = |n: u32| {
            let mut outcome = made(n, "spot", 1000, 10);
            let Ok(result) = &mut outcome.result else { panic!("an image") };
            result.outputs.extend(vec![file(&"k".repeat(1000)); 30]);
            outcome
        };
        let mut status = ImageJobStatus::default();
        tallied(&(0..100).map(extras).collect::<Vec<_>>()).show(&mut status);
        assert!(serde_json::to_vec(&status).unwrap().len() < MAX_BYTES + 64 * 1024);
        assert!(!status.results.is_empty());
    }

    #[test]
    fn the_latest_images_tell_how_long_one_takes() {
        let tally =
            tallied(&(0..30).map(|n| made(n, "spot", 1000 + u64::from(n), n.into())).collect::<Vec<_>>());
        assert_eq!(tally.latest(ms(27)).collect::<Vec<_>>(), [1028, 1029]);
        assert_eq!(tally.latest(0).count(), usize::from(LATEST));
    }

    #[test]
    fn an_address_is_one_whatever_the_key() {
        assert_eq!(
            url("https://cdn.example.com/", "a b/ü?.png"),
            "https://cdn.example.com/a%20b/%C3%BC%3F.png"
        );
    }
}
