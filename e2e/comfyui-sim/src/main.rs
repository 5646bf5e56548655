//! The simulator as a program, for Pods and for trying things by hand.
use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use comfyui_sim::{Fault, Folders, Machine, Options, Previews, Release, Sim, Timing};
use tokio::signal::unix::{SignalKind, signal};

/// A simulator of a ComfyUI server.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The port to listen on.
    #[arg(long, default_value_t = 8188)]
    port: u16,
    /// The model files installed: FOLDER/FILE, or FILE for a checkpoint, in ComfyUI's folders (checkpoints,
    /// diffusion_models, text_encoders, vae, loras, controlnet, upscale_models …). By default the usual files of the
    /// families that are common today.
    #[arg(long, value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// More model files, beside those of --models.
    #[arg(long, value_delimiter = ',')]
    more_models: Vec<String>,
    /// The release of ComfyUI whose node classes the server has.
    #[arg(long, value_enum, default_value = "0.33.0")]
    release: ReleaseFlag,
    /// Milliseconds before it listens.
    #[arg(long, default_value_t = 0)]
    boot_ms: u64,
    /// Milliseconds for one sampling step of a 512 × 512 picture.
    #[arg(long, default_value_t = 50)]
    step_ms: u64,
    /// Milliseconds for loading a checkpoint that is not the one in memory.
    #[arg(long, default_value_t = 2000)]
    load_ms: u64,
    /// Milliseconds for decoding a 512 × 512 picture, after sampling.
    #[arg(long, default_value_t = 0)]
    decode_ms: u64,
    /// Milliseconds for enlarging a 512 × 512 tile with a model.
    #[arg(long, default_value_t = 0)]
    upscale_ms: u64,
    /// Milliseconds for saving a picture.
    #[arg(long, default_value_t = 20)]
    save_ms: u64,
    /// Divides all of these times.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Whether to send a preview after each step.
    #[arg(long, value_enum, default_value = "none")]
    preview_method: PreviewMethod,
    /// Where the input, output and temp folders are; by default in a temporary directory.
    #[arg(long)]
    base_directory: Option<PathBuf>,
    /// The input folder, if it is elsewhere.
    #[arg(long)]
    input_directory: Option<PathBuf>,
    /// The output folder, if it is elsewhere.
    #[arg(long)]
    output_directory: Option<PathBuf>,
    /// The folder that the temp folder is in, if it is elsewhere.
    #[arg(long)]
    temp_directory: Option<PathBuf>,
    /// The machine's memory, 2^20 bytes. A prompt that needs more ends the process with status 137.
    #[arg(long, default_value_t = 32768)]
    ram_mb: u64,
    /// The GPU's memory, 2^20 bytes.
    #[arg(long, default_value_t = 24576)]
    vram_mb: u64,
    /// What all files together may take, 2^20 bytes; 0: as much as the disk holds.
    #[arg(long, default_value_t = 0)]
    disk_mb: u64,
    /// A file to which each sampling step is added as a line of JSON; simulators may share it.
    #[arg(long)]
    record: Option<PathBuf>,
    /// The faults to start with, as listed in the README, with @STEP and xTIMES after the name: crash@3x1. May be given
    /// several times. `PUT /sim/faults` replaces them at run time.
    #[arg(long = "fault")]
    faults: Vec<Fault>,
}

/// ComfyUI's names of the preview methods.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PreviewMethod {
    None,
    Auto,
    Latent2rgb,
}

/// The releases whose node classes are known.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ReleaseFlag {
    #[value(name = "0.3.64")]
    V0_3_64,
    #[value(name = "0.33.0")]
    V0_33_0,
}

/// The status that the shell and the kubelet report for a process killed by SIGKILL.
const KILLED: i32 = 137;

fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(flags))
}

async fn serve(flags: Flags) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(flags.boot_ms).div_f64(flags.speed.max(0.001))) => {}
        _ = terminate.recv() => return Ok(()),
    }
    let mut models = flags.models.unwrap_or_else(|| Options::default().models);
    models.extend(flags.more_models);
    let sim = Sim::start(Options {
        release: match flags.release {
            ReleaseFlag::V0_3_64 => Release::V0_3_64,
            ReleaseFlag::V0_33_0 => Release::V0_33_0,
        },
        models,
        timing: Timing {
            step: Duration::from_millis(flags.step_ms),
            load: Duration::from_millis(flags.load_ms),
            decode: Duration::from_millis(flags.decode_ms),
            upscale: Duration::from_millis(flags.upscale_ms),
            save: Duration::from_millis(flags.save_ms),
            speed: flags.speed,
        },
        previews: match flags.preview_method {
            PreviewMethod::None => Previews::None,
            PreviewMethod::Auto | PreviewMethod::Latent2rgb => Previews::EveryStep,
        },
        faults: flags.faults,
        listen: (flags.listen, flags.port).into(),
        base_directory: flags.base_directory,
        folders: Folders {
            input: flags.input_directory,
            output: flags.output_directory,
            temp: flags.temp_directory,
        },
        machine: Machine { ram: flags.ram_mb << 20, vram: flags.vram_mb << 20, disk: flags.disk_mb << 20 },
        record: flags.record,
    })?;
    tracing::info!("simulating ComfyUI on {}", sim.url());
    let terminated = async {
        loop {
            terminate.recv().await;
            if !sim.ignores_sigterm() {
                return;
            }
        }
    };
    tokio::select! {
        () = terminated => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        () = sim.ended() => {
            tracing::error!("crashing, as a fault asks for");
            drop(sim);
            std::process::exit(KILLED)
        }
    }
}
