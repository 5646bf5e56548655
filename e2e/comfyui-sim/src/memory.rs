//! Counts the main memory and GPU memory of the process. Leaks are allocated, all else is computed.
use serde_json::{Value, json};

use crate::{latent::Latent, options::Machine};

const MIB: u64 = 1 << 20;
/// The main memory of Python, its libraries and a model.
const BASE: u64 = 4096 * MIB;
/// The GPU memory of a model and of CUDA.
const MODEL: u64 = 2048 * MIB;
const CUDA: u64 = 512 * MIB;
/// The additional GPU memory for sampling a 512 × 512 picture.
const SAMPLING: u64 = 64 * MIB;
/// The number of latent values in such a picture.
const PLANE: u64 = 64 * 64;

/// The memory in use.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    leaked: Vec<Vec<u8>>,
    /// The model that is in the GPU's memory.
    pub(crate) loaded: Option<String>,
}

impl Memory {
    /// Allocates memory until the process ends. Returns whether there was enough of it.
    pub(crate) fn leak(&mut self, megabytes: u32, machine: &Machine) -> bool {
        let bytes = u64::from(megabytes) * MIB;
        if bytes > self.ram_free(machine) {
            return false;
        }
        // The kernel counts only memory that was written.
        self.leaked.push(vec![1; usize::try_from(bytes).unwrap_or_default()]);
        true
    }

    /// The main memory that is free, in bytes.
    pub(crate) fn ram_free(&self, machine: &Machine) -> u64 {
        let leaked: usize = self.leaked.iter().map(Vec::len).sum();
        machine.ram.saturating_sub(BASE.min(machine.ram / 4)).saturating_sub(leaked as u64)
    }

    fn vram_free(&self, machine: &Machine) -> u64 {
        let model = if self.loaded.is_some() { MODEL } else { 0 };
        machine.vram.saturating_sub(CUDA + model)
    }

    /// Whether the GPU has enough memory to sample a latent.
    pub(crate) fn can_sample(&self, latent: &Latent, machine: &Machine) -> bool {
        let values = (latent.batch * latent.plane_size()) as u64;
        values.saturating_mul(SAMPLING) / PLANE <= self.vram_free(machine)
    }

    /// The answer of `/system_stats`.
    pub(crate) fn system_stats(&self, machine: &Machine, version: &str) -> Value {
        let (vram_free, torch) = (self.vram_free(machine), if self.loaded.is_some() { MODEL } else { 0 });
        json!({
            "system": {
                "os": "posix", "ram_total": machine.ram, "ram_free": self.ram_free(machine),
                "comfyui_version": version, "python_version": "simulated", "pytorch_version": "simulated",
                "embedded_python": false, "argv": ["comfyui-sim"],
            },
            "devices": [{
                "name": "cuda:0 simulated", "type": "cuda", "index": 0, "vram_total": machine.vram,
                "vram_free": vram_free, "torch_vram_total": torch, "torch_vram_free": 0,
            }],
        })
    }
}
