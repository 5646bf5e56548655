//! Reads recorded spot markets. Three kinds of JSON files, plain or gzipped, told apart by what is in them:
//!
//! | what | how it is recognised |
//! |---|---|
//! | machines there at each tick | `data`, and no `price_info` in `metadata` |
//! | preempted (1) or there (0) at each tick, with prices | `data`, and `metadata.price_info` |
//! | prices at each tick | `prices` without `data` |
//!
//! A zone's name is its file's. A price file is for its own zone, or else for all zones of its region.
use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;
use policy::Time;
use serde::Deserialize;

use crate::market::{Market, Steps, Zone};

/// Machines of a zone that is recorded as there or not.
const MACHINES: u32 = 16;

/// What the files don't tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Prices {
    /// Of a spot machine per hour, for zones without one.
    pub(crate) spot: Option<f64>,
    /// Of an on-demand machine per hour, whatever the files say.
    pub(crate) on_demand: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    metadata: Metadata,
    gap_seconds: Option<f64>,
    data: Option<Vec<u32>>,
    prices: Option<Vec<f64>>,
    price_info: Option<PriceInfo>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    gap_seconds: Option<f64>,
    price_info: Option<PriceInfo>,
}

#[derive(Debug, Default, Deserialize)]
struct PriceInfo {
    price: Option<f64>,
    on_demand_price: Option<f64>,
    machine_type: Option<String>,
}

impl PriceInfo {
    /// GPUs of a machine: Google's types end in it, as in a3-highgpu-8g.
    fn gpus(&self) -> f64 {
        let kind = self.machine_type.as_deref().unwrap_or_default();
        let last = kind.rsplit('-').next().and_then(|part| part.strip_suffix('g'));
        last.and_then(|number| number.parse().ok()).unwrap_or(1.0)
    }

    fn on_demand(&self) -> Option<f64> {
        self.on_demand_price.map(|price| price / self.gpus())
    }
}

/// The market that some files tell of, for as long as all of them do.
///
/// # Errors
/// When a file can't be read or makes no sense, or when a price is missing; each with what to do.
pub(crate) fn read(files: &[PathBuf], known: Prices) -> Result<Market> {
    let mut capacity: BTreeMap<String, File> = BTreeMap::new();
    let mut prices: BTreeMap<String, File> = BTreeMap::new();
    for path in files {
        let file = File::read(path).with_context(|| format!("in {}", path.display()))?;
        let of = if file.data.is_some() { &mut capacity } else { &mut prices };
        let name = zone_name(path);
        ensure!(of.insert(name.clone(), file).is_none(), "two files of one kind are named {name}");
    }
    ensure!(!capacity.is_empty(), "no spot file has a list `data`, so there is no zone");
    let spans = capacity.values().filter_map(File::span);
    let span = spans.min().unwrap_or_default();
    let zones = capacity.iter().map(|(name, file)| file.zone(name, &prices, known));
    let zones = zones.collect::<Result<Vec<Zone>>>()?;
    let told = capacity.values().chain(prices.values()).filter_map(File::on_demand);
    let on_demand = known.on_demand.or_else(|| told.min_by(f64::total_cmp));
    let on_demand =
        on_demand.context("no file tells the price of on-demand machines: give --on-demand-price")?;
    ensure!(on_demand > 0.0, "the price of on-demand machines is {on_demand}: want more than 0");
    Ok(Market { zones, on_demand, span })
}

/// `traces/us-east-2b.json.gz` is us-east-2b.
fn zone_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.trim_end_matches(".gz").trim_end_matches(".json").to_owned()
}

/// The zone's name without its last letter; us-east1-b is of us-east1.
fn region(zone: &str) -> &str {
    zone.trim_end_matches(|c: char| c.is_ascii_lowercase()).trim_end_matches('-')
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).context("can't read it")?;
        let mut text = String::new();
        if path.extension().is_some_and(|extension| extension == "gz") {
            GzDecoder::new(&bytes[..]).read_to_string(&mut text).context("can't unpack it")?;
        } else {
            text = String::from_utf8(bytes).context("it is not text")?;
        }
        let file: Self = serde_json::from_str(&text).context("it is no spot trace")?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<()> {
        let ticks = self.data.as_ref().map(Vec::len).or(self.prices.as_ref().map(Vec::len));
        let Some(ticks) = ticks else { bail!("it has neither a list `data` nor a list `prices`") };
        ensure!(ticks > 0, "its list is empty");
        let gap = self.gap()?;
        ensure!(gap.is_finite() && gap > 0.0, "gap_seconds is {gap}: want more than 0");
        if let (Some(data), true) = (&self.data, self.is_marks()) {
            let odd = data.iter().find(|mark| **mark > 1);
            ensure!(odd.is_none(), "its data is 1 for preempted or 0, and there is a {}", odd.unwrap_or(&0));
        }
        let prices = self
            .prices
            .iter()
            .flatten()
            .copied()
            .chain(self.metadata.price_info.iter().filter_map(|i| i.price));
        let mut wrong = prices.filter(|price| !(price.is_finite() && *price > 0.0));
        if let Some(price) = wrong.next() {
            bail!("a price is {price}: want more than 0");
        }
        Ok(())
    }

    fn gap(&self) -> Result<f64> {
        self.metadata.gap_seconds.or(self.gap_seconds).context("it does not tell its gap_seconds")
    }

    fn is_marks(&self) -> bool {
        self.metadata.price_info.is_some()
    }

    fn tick(&self, i: usize) -> Time {
        let seconds = i as f64 * self.gap().unwrap_or_default();
        Time::from_millis(crate::arrivals::millis(seconds))
    }

    fn span(&self) -> Option<Time> {
        self.data.as_ref().map(|data| self.tick(data.len()))
    }

    fn on_demand(&self) -> Option<f64> {
        self.price_info.as_ref().or(self.metadata.price_info.as_ref()).and_then(PriceInfo::on_demand)
    }

    fn zone(&self, name: &str, prices: &BTreeMap<String, Self>, known: Prices) -> Result<Zone> {
        let marks = self.is_marks();
        let machines = |value: u32| match (marks, value) {
            (true, 0) => MACHINES,
            (true, _) => 0,
            (false, there) => there,
        };
        let ticks = self.data.iter().flatten().enumerate();
        let machines = Steps::new(ticks.map(|(i, value)| (self.tick(i), machines(*value))));
        let told = self.metadata.price_info.as_ref().and_then(|info| Some(info.price? / info.gpus()));
        let of_region = || prices.iter().find(|(zone, _)| region(zone) == region(name)).map(|(_, file)| file);
        let price = match (prices.get(name).or_else(of_region), told.or(known.spot)) {
            (Some(file), _) => file.price_steps(),
            (None, Some(price)) => Steps::constant(price),
            (None, None) => {
                bail!("no spot price for zone {name}: give a price file of its region, or --spot-price")
            }
        };
        Ok(Zone { name: name.to_owned(), machines, price })
    }

    fn price_steps(&self) -> Steps<f64> {
        let ticks = self.prices.iter().flatten().enumerate();
        Steps::new(ticks.map(|(i, price)| (self.tick(i), *price)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("traces")
    }

    fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn counts_of_machines_with_prices_of_their_region() {
        let files = [
            "us-west-2a.json.gz",
            "us-east-2b.json.gz",
            "prices/us-west-2c.json.gz",
            "prices/us-east-2a.json.gz",
        ];
        let files = files.map(|name| traces().join("v100").join(name));
        let market = read(&files, Prices::default()).unwrap();
        assert_eq!((market.on_demand, market.span.as_millis()), (3.06, 3247 * 300_000));
        let zone = &market.zones[1];
        assert_eq!(
            (zone.name.as_str(), zone.machines.at(Time::from_millis(300_000 * 8))),
            ("us-west-2a", 16)
        );
        assert!((0.9..1.1).contains(&zone.price.at(Time::default())));
    }

    #[test]
    fn marks_of_preemption_with_prices_of_eight_gpus() {
        let files = [traces().join("h100/us-east4-a.json.gz")];
        let market = read(&files, Prices::default()).unwrap();
        assert!((market.on_demand - 82.525_437_12 / 8.0).abs() < 1e-9);
        assert!((market.zones[0].price.at(Time::default()) - 14.853_44 / 8.0).abs() < 1e-9);
        let values: Vec<u32> = market.zones[0].machines.changes().map(|(_, _, to)| to).take(2).collect();
        assert!(values == [0, 16] || values == [16, 0]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let marks = r#"{"metadata": {"gap_seconds": 600, "price_info": {"price": 8}}, "data": [0, 3]}"#;
        for (text, says) in [
            ("{", "no spot trace"),
            ("{}", "neither a list"),
            (r#"{"data": [1], "metadata": {}}"#, "gap_seconds"),
            (r#"{"data": [], "metadata": {"gap_seconds": 300}}"#, "empty"),
            (r#"{"data": [1], "metadata": {"gap_seconds": -1}}"#, "gap_seconds is -1"),
            (r#"{"data": [-1], "metadata": {"gap_seconds": 300}}"#, "no spot trace"),
            (marks, "there is a 3"),
            (r#"{"prices": [0], "gap_seconds": 195}"#, "a price is 0"),
            (r#"{"data": [1], "metadata": {"gap_seconds": 300}}"#, "no spot price for zone z"),
        ] {
            let (_dir, path) = written("z.json", text);
            let error = format!("{:#}", read(&[path], Prices::default()).unwrap_err());
            assert!(error.contains(says), "{text}: {error}");
        }
        let (_dir, path) = written("z.json", r#"{"data": [1], "metadata": {"gap_seconds": 300}}"#);
        let known = Prices { spot: Some(1.0), on_demand: None };
        assert!(format!("{:#}", read(&[path], known).unwrap_err()).contains("--on-demand-price"));
    }
}
