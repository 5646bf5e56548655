//! Chooses the engine that makes the pictures: the simulator, or a real ComfyUI.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use e2e::EngineOptions;

/// The engine that the environment selects.
pub(crate) struct Engine {
    pub(crate) options: EngineOptions,
    /// The checkpoint of the engine.
    pub(crate) model: String,
    /// It has the files of every family, a LoRA among them.
    pub(crate) is_simulated: bool,
    /// The sentence about the engine that the demo prints.
    pub(crate) description: String,
}

/// Milliseconds of a simulated step for a picture of 512 × 512: 20 steps take 3 s.
const STEP_MS: &str = "150";

impl Engine {
    /// Selects a real engine by COMFYUI_URL or COMFYUI_DIR, otherwise the simulator.
    pub(crate) fn from_environment() -> Result<Self> {
        let model =
            || env::var("COMFYUI_MODEL").context("set COMFYUI_MODEL to a checkpoint that your ComfyUI has");
        if let Ok(url) = env::var("COMFYUI_URL") {
            let to = url.strip_prefix("http://").context("COMFYUI_URL must begin with http://")?;
            let forward = env::current_exe()?.with_file_name("forward").display().to_string();
            let command = vec![forward, "--to".to_owned(), to.trim_end_matches('/').to_owned()];
            let description = format!("engine: the ComfyUI at {url}; every worker uses the same one");
            return Ok(Self { options: real(command), model: model()?, is_simulated: false, description });
        }
        if let Ok(directory) = env::var("COMFYUI_DIR") {
            let main = PathBuf::from(&directory).join("main.py");
            ensure!(main.is_file(), "COMFYUI_DIR: {} is not there", main.display());
            let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
            let mut command = vec![python, main.display().to_string()];
            let more = env::var("COMFYUI_ARGS").unwrap_or_default();
            command.extend(more.split_whitespace().map(str::to_owned));
            let description = format!("engine: the ComfyUI in {directory}, one process per worker");
            return Ok(Self { options: real(command), model: model()?, is_simulated: false, description });
        }
        let args = ["--step-ms", STEP_MS].map(str::to_owned).into();
        Ok(Self {
            options: EngineOptions { args, command: None },
            model: e2e::MODEL.to_owned(),
            is_simulated: true,
            description: "engine: SIMULATED. It speaks ComfyUI's protocol, takes the time a GPU would, and paints from \
                   prompt and seed. For a real one: COMFYUI_URL=http://… or COMFYUI_DIR=…, and COMFYUI_MODEL"
                .to_owned(),
        })
    }
}

fn real(command: Vec<String>) -> EngineOptions {
    EngineOptions { args: Vec::new(), command: Some(command) }
}
