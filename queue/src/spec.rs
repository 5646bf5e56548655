//! The record of a job that scripts read: a version, numbers at fixed places, then strings with their lengths before
//! them, little-endian, as Lua's `struct.unpack` reads it (lua/spec.lua).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Job, Result, names};

/// The layout of the record. Programs leave records of newer versions to newer programs, so that old and new ones can
/// stand side by side during an upgrade.
pub(crate) const VERSION: u8 = 1;

/// A tenant is never passed over for longer than this many times its class's promise.
pub const MAX_WAIT_SLAS: u32 = 4;

/// In the record: any number of images may fail.
pub(crate) const NO_LIMIT: u32 = u32::MAX;

/// Longest promise and latest arrival, ms: beyond the year 5000, and what the scripts can write with 15 digits.
const LATEST_MS: u64 = 100_000_000_000_000;

/// Due times in the backlog are rounded down to this fraction of the class's promise.
const BUCKETS_PER_SLA: u64 = 32;
const SMALLEST_BUCKET_MS: u64 = 1000;

/// Milliseconds as the scripts count them; a double is exact up to 2^53.
#[allow(clippy::cast_precision_loss)] // 2^53 ms is the year 287,396
pub(crate) fn ms(value: u64) -> f64 {
    value as f64
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the queue is told of a job: its record, and what its waiting tasks are counted as.
pub(crate) fn encode(job: &Job) -> Result<(Vec<u8>, String)> {
    let invalid = |why| Error::Job { uid: job.uid.0.clone(), why };
    if job.total == 0 {
        return Err(invalid("it has no tasks"));
    }
    let positive = |number: f64| number.is_finite() && number > 0.0;
    if !(positive(job.units) && positive(job.weight) && positive(job.unit_ms)) {
        return Err(invalid("units, their time and weight must be above 0"));
    }
    if job.uid.0.contains('/') || job.uid.0.is_empty() {
        return Err(invalid("a uid is not empty and has no slash"));
    }
    let (arrival, sla) = (job.arrival_ms.min(LATEST_MS), millis(job.sla).min(LATEST_MS));
    let mut record = Vec::with_capacity(256);
    record.push(VERSION);
    for number in [ms(arrival), ms(sla), job.weight, job.units, job.unit_ms] {
        record.extend(number.to_le_bytes());
    }
    let may_fail = job.max_failed_images.unwrap_or(NO_LIMIT);
    for number in [job.total, job.retries, job.max_running.unwrap_or(0), may_fail] {
        record.extend(number.to_le_bytes());
    }
    record.push(u8::from(job.listing));
    let (tenant, model) = (names::digest(&job.tenant), names::digest(&job.model));
    let listing = if job.listing { Kind::of_listing(job).encode()? } else { String::new() };
    for text in [&job.class, &tenant, &model, &listing, &job.work, &job.model, &job.tenant] {
        let length = u16::try_from(text.len()).map_err(|_| invalid("a name is longer than 64 KiB"))?;
        record.extend(length.to_le_bytes());
        record.extend(text.as_bytes());
    }
    let due = bucket_due(arrival + sla, sla);
    Ok((record, format!("{} {due} {}", job.total, Kind::of(job).encode()?)))
}

/// When tasks in a bucket of the backlog are due, by that of one of them.
fn bucket_due(due_ms: u64, sla_ms: u64) -> u64 {
    due_ms - due_ms % bucket_width_ms(sla_ms)
}

fn bucket_width_ms(sla_ms: u64) -> u64 {
    (sla_ms / BUCKETS_PER_SLA).max(SMALLEST_BUCKET_MS)
}

/// The due times of a [backlog](crate::Stats::backlog) are rounded down by less than this, for a class with this promise.
#[must_use]
pub fn due_rounding(sla: Duration) -> Duration {
    Duration::from_millis(bucket_width_ms(u64::try_from(sla.as_millis()).unwrap_or(u64::MAX)))
}

/// What Rust reads back of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub(crate) arrival_ms: u64,
    pub(crate) due_ms: u64,
    pub(crate) units: f64,
    pub(crate) total: u32,
    pub(crate) listing: bool,
    pub(crate) class: String,
    pub(crate) work: String,
    pub(crate) model: String,
    pub(crate) tenant: String,
}

impl Spec {
    pub(crate) fn decode(record: &[u8]) -> Result<Self> {
        let mut read = Reader { what: "job", bytes: record };
        if read.byte()? != VERSION {
            return Err(Error::malformed("job", "its version is another one"));
        }
        let [arrival, sla, _weight, units, _unit_ms] = read.floats()?;
        let [total, _retries, _max_running, _may_fail] = [read.u32()?, read.u32()?, read.u32()?, read.u32()?];
        let listing = read.byte()? == 1;
        let [class, _tenant, _model, _listing_kind] =
            [read.text()?, read.text()?, read.text()?, read.text()?];
        let [work, model, tenant] = [read.text()?, read.text()?, read.text()?];
        let due_ms = whole(arrival + sla);
        Ok(Self { arrival_ms: whole(arrival), due_ms, units, total, listing, class, work, model, tenant })
    }
}

/// Reads the records from front to back.
pub(crate) struct Reader<'a> {
    pub(crate) what: &'static str,
    pub(crate) bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) =
            self.bytes.split_first_chunk().ok_or_else(|| Error::malformed(self.what, "it is cut short"))?;
        self.bytes = rest;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.take().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn floats<const N: usize>(&mut self) -> Result<[f64; N]> {
        let mut floats = [0.0; N];
        for float in &mut floats {
            *float = self.take().map(f64::from_le_bytes)?;
        }
        Ok(floats)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let (text, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or_else(|| Error::malformed(self.what, "it is cut short"))?;
        self.bytes = rest;
        String::from_utf8(text.to_vec()).map_err(|error| Error::malformed(self.what, error))
    }
}

/// A millisecond count that came as a double.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and is whole
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}

/// What kind of task is counted: tasks of equal kinds and due times are one number in the backlog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) class: String,
    pub(crate) model: String,
    pub(crate) work: String,
    pub(crate) sla_ms: u64,
    /// Of one task, rounded to two digits so that there are few buckets.
    pub(crate) units: f64,
    /// A tenant with a limit has buckets of its own, and the limit.
    pub(crate) limited: Option<(String, u32)>,
}

impl Kind {
    fn of(job: &Job) -> Self {
        Self {
            class: job.class.clone(),
            model: job.model.clone(),
            work: job.work.clone(),
            sla_ms: millis(job.sla).min(LATEST_MS),
            units: two_digits(job.units),
            limited: job.max_running.map(|limit| (job.tenant.clone(), limit)),
        }
    }

    /// Of the task that lists the job's images: it takes no GPU.
    fn of_listing(job: &Job) -> Self {
        Self { model: String::new(), work: String::new(), units: 0.0, ..Self::of(job) }
    }

    fn encode(&self) -> Result<String> {
        let Self { class, model, work, sla_ms, units, limited } = self;
        serde_json::to_string(&(class, model, work, sla_ms, units, limited))
            .map_err(|error| Error::malformed("backlog bucket", error))
    }

    /// A bucket's name: when its tasks are due, and their kind.
    pub(crate) fn decode(bucket: &str) -> Result<(u64, Self)> {
        let bad = |why: &dyn std::fmt::Display| Error::malformed("backlog bucket", why);
        let (due, kind) = bucket.split_once(' ').ok_or_else(|| bad(&"it has no due time"))?;
        let due_ms = due.parse().map_err(|error| bad(&error))?;
        let (class, model, work, sla_ms, units, limited) =
            serde_json::from_str(kind).map_err(|error| bad(&error))?;
        Ok((due_ms, Self { class, model, work, sla_ms, units, limited }))
    }
}

fn two_digits(value: f64) -> f64 {
    let step = 10f64.powf(value.log10().floor() - 1.0);
    let rounded = (value / step).round() * step;
    // 0.1 steps leave dust such as 2.9000000000000004, which would make buckets of their own.
    (rounded * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::{Kind, Spec, encode, two_digits};
    use crate::{Error, Job, JobUid};

    fn job() -> Job {
        Job {
            uid: JobUid("5f0c".into()),
            tenant: "acme \"{}\"\0".into(),
            weight: 4.0,
            max_running: Some(8),
            class: "standard".into(),
            model: "sd15.safetensors".into(),
            work: "textToImage sd15.safetensors".into(),
            unit_ms: 100.0,
            arrival_ms: 1_700_000_000_123,
            sla: Duration::from_secs(300),
            units: 20.0,
            total: 3,
            retries: 2,
            max_failed_images: None,
            listing: false,
            recheck: false,
            suspended: false,
            payload: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn a_record_is_read_back() {
        let spec = Spec::decode(&encode(&job()).unwrap().0).unwrap();
        assert_eq!(spec.due_ms, 1_700_000_300_123);
        assert_eq!((spec.units, spec.total), (20.0, 3));
        assert_eq!((spec.tenant, spec.class), (job().tenant, job().class));
    }

    #[test]
    fn a_record_cut_anywhere_is_an_error() {
        let whole = encode(&job()).unwrap().0;
        for length in 0..whole.len() {
            assert!(matches!(Spec::decode(&whole[..length]), Err(Error::Malformed { .. })), "{length}");
        }
    }

    #[test]
    fn jobs_that_cant_be_ordered_are_refused() {
        for broken in [
            Job { total: 0, ..job() },
            Job { units: 0.0, ..job() },
            Job { weight: f64::NAN, ..job() },
            Job { uid: JobUid("a/1".into()), ..job() },
            Job { tenant: "t".repeat(70_000), ..job() },
        ] {
            assert!(matches!(encode(&broken), Err(Error::Job { .. })), "{broken:?}");
        }
    }

    #[test]
    fn a_record_of_another_version_is_an_error() {
        let mut newer = encode(&job()).unwrap().0;
        newer[0] += 1;
        assert!(matches!(Spec::decode(&newer), Err(Error::Malformed { .. })));
    }

    #[test]
    fn buckets_are_few_and_near() {
        let counted = encode(&job()).unwrap().1;
        let (total, bucket) = counted.split_once(' ').unwrap();
        let (due_ms, kind) = Kind::decode(bucket).unwrap();
        assert_eq!((total, kind), ("3", Kind::of(&job())));
        assert!(due_ms <= 1_700_000_300_123 && due_ms + 9_375 > 1_700_000_300_123);
        assert_eq!(
            [0.0444, 0.29, 1.0, 20.4, 31.5, 9600.0].map(two_digits),
            [0.044, 0.29, 1.0, 20.0, 32.0, 9600.0]
        );
    }
}
