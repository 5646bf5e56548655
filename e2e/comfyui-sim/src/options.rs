use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{Fault, catalog};

/// The durations of the work. All are zero by default, which is as fast as the machine can.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// One sampling step of one 512 × 512 picture. Other sizes and batches take proportional times.
    pub step: Duration,
    /// Loading a checkpoint that is not in memory.
    pub load: Duration,
    /// Decoding one 512 × 512 picture from its latent. The server sends no progress in this time.
    pub decode: Duration,
    /// Enlarging one 512 × 512 tile with a model, which is one step of progress.
    pub upscale: Duration,
    /// Saving a picture.
    pub save: Duration,
    /// The factor by which all these durations are divided.
    pub speed: f64,
}

impl Default for Timing {
    fn default() -> Self {
        let [step, load, decode, upscale, save] = [Duration::ZERO; 5];
        Self { step, load, decode, upscale, save, speed: 1.0 }
    }
}

/// Whether the server sends a picture after each step. ComfyUI's default is not to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Previews {
    /// It sends none.
    #[default]
    None,
    /// It sends PNG pictures. (ComfyUI sends JPEG; the frame names the format.)
    EveryStep,
}

/// The release of ComfyUI whose node classes the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// 0.3.64: the common classes have the inputs they had then.
    V0_3_64,
    /// 0.33.0.
    #[default]
    V0_33_0,
}

impl Release {
    /// The version, as `/system_stats` says it.
    pub fn version(self) -> &'static str {
        match self {
            Self::V0_3_64 => "0.3.64",
            Self::V0_33_0 => "0.33.0",
        }
    }
}

/// The memory and disk of the simulated machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Bytes of main memory. A prompt that needs more ends the process, as the kernel does.
    pub ram: u64,
    /// Bytes of GPU memory. Sampling that needs more fails with out of memory each time.
    pub vram: u64,
    /// Bytes that all files together may have; 0: no limit but the disk's.
    pub disk: u64,
}

impl Default for Machine {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self { ram: 32 * GIB, vram: 24 * GIB, disk: 0 }
    }
}

/// Folders that are not below the base directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folders {
    /// The input folder.
    pub input: Option<PathBuf>,
    /// The output folder.
    pub output: Option<PathBuf>,
    /// The parent of the temp folder.
    pub temp: Option<PathBuf>,
}

/// The options of a [`crate::Sim`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The release whose node classes the server has.
    pub release: Release,
    /// The installed model files: FOLDER/FILE, or FILE for a checkpoint; by default the usual files of the families
    /// that are common today.
    pub models: Vec<String>,
    /// The durations of the work.
    pub timing: Timing,
    /// Whether the server sends previews.
    pub previews: Previews,
    /// The faults that are active from the start.
    pub faults: Vec<Fault>,
    /// The address to listen on; by default a free loopback port.
    pub listen: SocketAddr,
    /// The parent of the input, output and temp folders; by default a directory that is removed with the handle.
    pub base_directory: Option<PathBuf>,
    /// The folders that are elsewhere.
    pub folders: Folders,
    /// The memory and disk of the simulated machine.
    pub machine: Machine,
    /// A file to which the server appends a line of JSON for each sampling step: `prompt`, `seed`, `step` (from 1).
    pub record: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            release: Release::default(),
            models: catalog::USUAL.map(str::to_owned).to_vec(),
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
