//! What the process takes of the machine's memory and the GPU's. Leaks are real, the rest is worked out.
use serde_json::{Value, json};

use crate::{latent::Latent, options::Machine};

const MIB: u64 = 1 << 20;
/// What Python, its libraries and a model take of main memory.
const BASE: u64 = 4096 * MIB;
/// What a model takes of the GPU's memory, and what CUDA does.
const MODEL: u64 = 2048 * MIB;
const CUDA: u64 = 512 * MIB;
/// What sampling a 512 × 512 picture takes beside.
const SAMPLING: u64 = 64 * MIB;
/// Latent values in such a picture.
const PLANE: u64 = 64 * 64;

/// What is taken.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    leaked: Vec<Vec<u8>>,
    /// The model in the GPU's memory.
    pub(crate) loaded: Option<String>,
}

impl Memory {
    /// Takes memory for good; whether it was there.
    pub(crate) fn leak(&mut self, megabytes: u32, machine: &Machine) -> bool {
        let bytes = u64::from(megabytes) * MIB;
        if bytes > self.ram_free(machine) {
            return false;
        }
        // Written to, or the kernel would not count it.
        self.leaked.push(vec![1; usize::try_from(bytes).unwrap_or_default()]);
        true
    }

    /// Main memory that is free.
    pub(crate) fn ram_free(&self, machine: &Machine) -> u64 {
        let leaked: usize = self.leaked.iter().map(Vec::len).sum();
        machine.ram.saturating_sub(BASE.min(machine.ram / 4)).saturating_sub(leaked as u64)
    }

    fn vram_free(&self, machine: &Machine) -> u64 {
        let model = if self.loaded.is_some() { MODEL } else { 0 };
        machine.vram.saturating_sub(CUDA + model)
    }

    /// Whether the GPU has room for sampling a latent.
    pub(crate) fn can_sample(&self, latent: &Latent, machine: &Machine) -> bool {
        let values = (latent.batch * latent.plane_size()) as u64;
        values.saturating_mul(SAMPLING) / PLANE <= self.vram_free(machine)
    }

    /// As `/system_stats` shows it.
    pub(crate) fn system_stats(&self, machine: &Machine) -> Value {
        let (vram_free, torch) = (self.vram_free(machine), if self.loaded.is_some() { MODEL } else { 0 });
        json!({
            "system": {
                "os": "posix", "ram_total": machine.ram, "ram_free": self.ram_free(machine),
                "comfyui_version": "0.3.64", "python_version": "simulated", "pytorch_version": "simulated",
                "embedded_python": false, "argv": ["comfyui-sim"],
            },
            "devices": [{
                "name": "cuda:0 simulated", "type": "cuda", "index": 0, "vram_total": machine.vram,
                "vram_free": vram_free, "torch_vram_total": torch, "torch_vram_free": 0,
            }],
        })
    }
}
