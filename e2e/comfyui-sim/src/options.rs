use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::Fault;

/// How long the work takes. All zero by default: as fast as the machine can.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// One sampling step of one 512 × 512 picture; in proportion for other sizes and batches.
    pub step: Duration,
    /// Loading a checkpoint that is not the one in memory.
    pub load: Duration,
    /// Saving a picture.
    pub save: Duration,
    /// Divides all of these.
    pub speed: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { step: Duration::ZERO, load: Duration::ZERO, save: Duration::ZERO, speed: 1.0 }
    }
}

/// Whether a picture is sent after each step. ComfyUI's default is not to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Previews {
    /// No.
    #[default]
    None,
    /// Yes, as PNG (ComfyUI sends JPEG; the frame says which).
    EveryStep,
}

/// How to start a [`crate::Sim`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The checkpoints installed.
    pub models: Vec<String>,
    /// How long the work takes.
    pub timing: Timing,
    /// Whether previews are sent.
    pub previews: Previews,
    /// What goes wrong, from the start.
    pub faults: Vec<Fault>,
    /// Where to listen; by default on a free loopback port.
    pub listen: SocketAddr,
    /// Where the input, output and temp folders are; by default in a directory that goes with the handle.
    pub base_directory: Option<PathBuf>,
    /// A file to which each sampling step is added as a line of JSON: `prompt`, `seed`, `step` (from 1 on).
    pub record: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            models: vec!["v1-5-pruned.safetensors".to_owned(), "sd_xl_base_1.0.safetensors".to_owned()],
            timing: Timing::default(),
            previews: Previews::default(),
            faults: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            base_directory: None,
            record: None,
        }
    }
}
