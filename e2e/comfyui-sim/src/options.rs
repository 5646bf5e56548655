use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::Fault;

/// How long the work takes. All zero by default: as fast as the machine can.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// One sampling step of one 512 × 512 picture; in proportion for other sizes and batches.
    pub step: Duration,
    /// Loading a checkpoint that is not the one in memory.
    pub load: Duration,
    /// Decoding one 512 × 512 picture from its latent; no progress is told meanwhile.
    pub decode: Duration,
    /// Enlarging one 512 × 512 picture with a model, a step of progress.
    pub upscale: Duration,
    /// Saving a picture.
    pub save: Duration,
    /// Divides all of these.
    pub speed: f64,
}

impl Default for Timing {
    fn default() -> Self {
        let [step, load, decode, upscale, save] = [Duration::ZERO; 5];
        Self { step, load, decode, upscale, save, speed: 1.0 }
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

/// What the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Bytes of main memory. A prompt that needs more ends the process, as the kernel would.
    pub ram: u64,
    /// Bytes of the GPU's memory. Sampling that needs more is out of memory, each time.
    pub vram: u64,
    /// Bytes that all files together may take; 0: as many as the disk holds.
    pub disk: u64,
}

impl Default for Machine {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self { ram: 32 * GIB, vram: 24 * GIB, disk: 0 }
    }
}

/// Folders in other places than below the base directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folders {
    /// The input folder.
    pub input: Option<PathBuf>,
    /// The output folder.
    pub output: Option<PathBuf>,
    /// The folder that the temp folder is in.
    pub temp: Option<PathBuf>,
}

/// How to start a [`crate::Sim`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The model files installed: FOLDER/FILE, or FILE for a checkpoint.
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
    /// Folders elsewhere.
    pub folders: Folders,
    /// What the machine has.
    pub machine: Machine,
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
            folders: Folders::default(),
            machine: Machine::default(),
            record: None,
        }
    }
}
