//! The recorded spot market that the demo replays, faster and with fewer machines.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use e2e::SpotTrace;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// The zone of the recording.
pub(crate) const ZONE: &str = "us-east-2b";
/// The largest number of machines that the demo's market has.
pub(crate) const MACHINES: u32 = 4;
/// How many times faster than recorded the market runs.
pub(crate) const SPEED: u32 = 360;

/// The number of machines that were requested in the recording.
const RECORDED_MACHINES: u32 = 16;
const RECORDED: &str = include_str!("../../../../traces/us-east-2b.json");

/// The number of available machines at each tick.
#[derive(Serialize, Deserialize)]
pub(crate) struct Market {
    metadata: Metadata,
    data: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    /// The recorded time between two ticks, in seconds.
    gap_seconds: u32,
}

impl Market {
    /// The recording, scaled to the demo's number of machines.
    pub(crate) fn recorded() -> Result<Self> {
        let mut market: Self = serde_json::from_str(RECORDED).context("the recorded spot market")?;
        for machines in &mut market.data {
            *machines = scaled(*machines);
        }
        Ok(market)
    }

    /// Writes the market for the provisioner. The market exists as long as the file.
    pub(crate) fn write(&self) -> Result<(NamedTempFile, SpotTrace)> {
        let mut file = NamedTempFile::new()?;
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        let trace = SpotTrace { file: file.path().to_owned(), speed: SPEED };
        Ok((file, trace))
    }

    pub(crate) fn ticks(&self) -> usize {
        self.data.len()
    }

    /// The number of ticks that have passed after this time of the demo.
    pub(crate) fn tick_after(&self, demo: Duration) -> usize {
        let recorded = demo.saturating_mul(SPEED).as_secs();
        usize::try_from(recorded / u64::from(self.metadata.gap_seconds)).unwrap_or(usize::MAX)
    }

    /// Recorded time from the beginning to a tick.
    pub(crate) fn time_of(&self, tick: usize) -> Duration {
        let tick = u32::try_from(tick).unwrap_or(u32::MAX);
        Duration::from_secs(self.metadata.gap_seconds.into()).saturating_mul(tick)
    }

    /// The market's duration in the demo.
    pub(crate) fn lasts(&self) -> Duration {
        self.time_of(self.ticks()) / SPEED
    }

    /// The number of available machines at a tick. Like the provisioner, it starts again after its end.
    pub(crate) fn offered(&self, tick: usize) -> u32 {
        tick.checked_rem(self.ticks()).and_then(|tick| self.data.get(tick)).copied().unwrap_or_default()
    }
}

/// Rounds to the nearest number, so that a market with hardly any machines has none.
fn scaled(recorded: u32) -> u32 {
    (recorded * MACHINES + RECORDED_MACHINES / 2) / RECORDED_MACHINES
}

/// Formats recorded time as on a clock.
pub(crate) fn clock(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_market_in_proportion_and_in_time() {
        let market = Market::recorded().unwrap();
        assert_eq!(market.lasts(), Duration::from_secs(75));
        assert_eq!(clock(market.time_of(market.ticks())), "7:30");
        assert_eq!(market.tick_after(Duration::from_millis(833)), 0);
        assert_eq!(market.tick_after(Duration::from_millis(834)), 1);
        // Ticks 21 to 26 have 16 machines, then 1, then none; the trace starts again at tick 90.
        assert_eq!([21, 22, 25, 90].map(|tick| market.offered(tick)), [4, 0, 0, 4]);
        // 6 of 16 machines.
        assert_eq!(market.offered(53), 2);
    }
}
