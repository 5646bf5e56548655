//! Looks at the engine itself, where the words of an exception make one suspect it.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::{Engine, Error, outputs::File};

/// A stalled engine is asked again.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// Large enough that it does not fit into what is left of a full disk.
const PROBE_BYTES: usize = 64 << 10;
const PROBE: &str = "imagejob-probe";

impl Engine {
    /// Asks whether the GPU still answers the engine's process: the engine reads the GPU's memory to answer, which
    /// fails once the process has lost its context.
    ///
    /// # Errors
    /// Why not.
    pub async fn inspect_gpu(&self) -> Result<(), Error> {
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            match self.client().about().await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_answer() || tries_left == 0 => return Err(error),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Asks whether the engine can still write to where its pictures go.
    ///
    /// # Errors
    /// Why not.
    pub async fn inspect_disk(&self) -> Result<(), Error> {
        let probe = File { filename: PROBE.to_owned(), subfolder: String::new(), kind: "output".to_owned() };
        let written = self.client().upload(&probe, Bytes::from(vec![0; PROBE_BYTES])).await;
        self.remove(&probe).await;
        written.map(drop)
    }
}
