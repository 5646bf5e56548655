//! Prints the result: every image with its address, the cost, and the files.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use crds::Money;
use e2e::Finished;
use kube::ResourceExt as _;

use crate::front::short;

/// Downloads and decodes every image, saves it and prints the table.
pub(crate) async fn print(finished: &[Finished], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    println!("\n{:12} {:>5} {:>8} {:>11} {:>9}  url", "job", "image", "attempts", "gpu seconds", "capacity");
    let mut amount = Money::default();
    let mut on_demand = Money::default();
    for finished in finished {
        finished.check_images().await?;
        for result in finished.results() {
            let full_name = finished.job.name_any();
            let name = short(&full_name);
            for (n, file) in result.outputs.iter().enumerate() {
                println!(
                    "{name:12} {:>5} {:>8} {:>11.2} {:>9}  {}",
                    result.index,
                    result.attempts,
                    result.gpu_seconds.to_f64(),
                    result.capacity.label(),
                    file.url
                );
                let bytes = reqwest::get(&file.url).await?.error_for_status()?.bytes().await?;
                let extension = file.key.rsplit_once('.').map_or("bin", |(_, extension)| extension);
                let number = if n == 0 { String::new() } else { format!("-{n}") };
                fs::write(directory.join(format!("{name}-{}{number}.{extension}", result.index)), &bytes)?;
            }
        }
        if let Some(cost) = finished.job.status.as_ref().and_then(|status| status.cost.as_ref()) {
            amount = amount.plus(cost.amount);
            on_demand = on_demand.plus(cost.on_demand_amount);
        }
    }
    let saved = 100 - (amount.micros() * 100).checked_div(on_demand.micros()).unwrap_or(100);
    println!("\nGPU time cost {amount} USD; on demand it would have cost {on_demand} USD ({saved} % saved).");
    println!("Every file was fetched from its URL and checked. They are in {}/", directory.display());
    Ok(())
}
