//! The record of a job that scripts read: numbers at fixed places, then strings with their lengths before
//! them, little-endian, as Lua's `struct.unpack('<dddddI4I4I4I2c0I2c0…')` reads it (lua/spec.lua).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Job, Result, names};

/// A tenant's job is never put off for longer than this many times its class's promise.
pub const MAX_WAIT_SLAS: u32 = 4;

/// How far one unit of work moves the virtual time of a tenant of weight 1, ms. Large against any real wait,
/// so that between tenants who have work waiting only their shares count, and arrival breaks ties.
pub const VIRTUAL_MS_PER_UNIT: f64 = 1e7;

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

/// Writes the record.
pub(crate) fn encode(job: &Job) -> Result<Vec<u8>> {
    let invalid = |why| Error::Job { uid: job.uid.0.clone(), why };
    if job.total == 0 {
        return Err(invalid("it has no tasks"));
    }
    if !(job.units.is_finite() && job.units > 0.0 && job.weight.is_finite() && job.weight > 0.0) {
        return Err(invalid("units and weight must be above 0"));
    }
    if job.uid.0.contains('/') || job.uid.0.is_empty() {
        return Err(invalid("a uid is not empty and has no slash"));
    }
    let sla = ms(millis(job.sla));
    let charge = VIRTUAL_MS_PER_UNIT * job.units / job.weight;
    let mut record = Vec::with_capacity(256);
    for number in [ms(job.arrival_ms), sla, sla * f64::from(MAX_WAIT_SLAS), charge, job.units] {
        record.extend(number.to_le_bytes());
    }
    for number in [job.total, job.retries, job.max_running.unwrap_or(0)] {
        record.extend(number.to_le_bytes());
    }
    let line = names::line(job);
    let bucket = Bucket::of(job).encode()?;
    for text in [&line, &bucket, &job.class, &job.model, &job.tenant, &job.work] {
        let length = u16::try_from(text.len()).map_err(|_| invalid("a name is longer than 64 KiB"))?;
        record.extend(length.to_le_bytes());
        record.extend(text.as_bytes());
    }
    Ok(record)
}

/// What Rust reads back of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub(crate) due_ms: u64,
    pub(crate) units: f64,
    pub(crate) total: u32,
    pub(crate) class: String,
    pub(crate) model: String,
    pub(crate) tenant: String,
    pub(crate) work: String,
}

impl Spec {
    pub(crate) fn decode(record: &[u8]) -> Result<Self> {
        let mut read = Reader { what: "job", bytes: record };
        let [arrival, sla, _max_wait, _charge, units] = read.floats()?;
        let [total, _retries, _max_running] = [read.u32()?, read.u32()?, read.u32()?];
        let [_line, _bucket, class, model, tenant, work] =
            [read.text()?, read.text()?, read.text()?, read.text()?, read.text()?, read.text()?];
        Ok(Self { due_ms: whole(arrival + sla), units, total, class, model, tenant, work })
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

/// Where a waiting task is counted: tasks of equal buckets are one number in the backlog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) class: String,
    pub(crate) model: String,
    pub(crate) work: String,
    /// Rounded down.
    pub(crate) due_ms: u64,
    pub(crate) sla_ms: u64,
    /// Of one task, rounded to two digits so that there are few buckets.
    pub(crate) units: f64,
    /// A tenant with a limit has buckets of its own, and the limit.
    pub(crate) limited: Option<(String, u32)>,
}

impl Bucket {
    fn of(job: &Job) -> Self {
        let sla_ms = millis(job.sla);
        let width = (sla_ms / BUCKETS_PER_SLA).max(SMALLEST_BUCKET_MS);
        let due_ms = job.arrival_ms + sla_ms;
        Self {
            class: job.class.clone(),
            model: job.model.clone(),
            work: job.work.clone(),
            due_ms: due_ms - due_ms % width,
            sla_ms,
            units: two_digits(job.units),
            limited: job.max_running.map(|limit| (job.tenant.clone(), limit)),
        }
    }

    fn encode(&self) -> Result<String> {
        let Self { class, model, work, due_ms, sla_ms, units, limited } = self;
        serde_json::to_string(&(class, model, work, due_ms, sla_ms, units, limited))
            .map_err(|error| Error::malformed("backlog bucket", error))
    }

    pub(crate) fn decode(text: &[u8]) -> Result<Self> {
        let (class, model, work, due_ms, sla_ms, units, limited) =
            serde_json::from_slice(text).map_err(|error| Error::malformed("backlog bucket", error))?;
        Ok(Self { class, model, work, due_ms, sla_ms, units, limited })
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

    use super::{Bucket, Spec, encode, two_digits};
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
        let spec = Spec::decode(&encode(&job()).unwrap()).unwrap();
        assert_eq!(spec.due_ms, 1_700_000_300_123);
        assert_eq!((spec.units, spec.total), (20.0, 3));
        assert_eq!((spec.tenant, spec.class), (job().tenant, job().class));
    }

    #[test]
    fn a_record_cut_anywhere_is_an_error() {
        let whole = encode(&job()).unwrap();
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
    fn buckets_are_few_and_near() {
        let bucket = Bucket::of(&job());
        assert!(bucket.due_ms <= 1_700_000_300_123 && bucket.due_ms + 9_375 > 1_700_000_300_123);
        assert_eq!(Bucket::decode(bucket.encode().unwrap().as_bytes()).unwrap(), bucket);
        assert_eq!(
            [0.0444, 0.29, 1.0, 20.4, 31.5, 9600.0].map(two_digits),
            [0.044, 0.29, 1.0, 20.0, 32.0, 9600.0]
        );
    }
}
