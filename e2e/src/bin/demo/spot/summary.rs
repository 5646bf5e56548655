//! Prints the result in figures.

use anyhow::Result;
use crds::{ImageJob, JobResult, MachineCost, Money, PoolCost};
use e2e::Finished;

use super::SLA_SECONDS;

/// Downloads and decodes every image, and prints the figures.
///
/// # Errors
/// If an image that its job reports as made does not exist.
pub(crate) async fn print(jobs: &[ImageJob], asked: u32, cost: &PoolCost) -> Result<()> {
    let mut made: Vec<&JobResult> = Vec::new();
    for job in jobs {
        let images = job.status.as_ref().map(|status| status.results.as_slice()).unwrap_or_default();
        if !images.is_empty() {
            Finished { job: job.clone() }.check_images().await?;
        }
        made.extend(images);
    }
    let status = |job: &ImageJob| job.status.clone().unwrap_or_default();
    let in_time = jobs.iter().filter(|job| e2e::in_time(job) == Some(true)).count();
    let interruptions: u32 = jobs.iter().filter_map(|job| status(job).interruptions).sum();
    let again = made.iter().filter(|image| image.attempts > 1).count();
    let lost = u64::from(asked).saturating_sub(made.len().try_into()?);
    println!("images asked for  {asked:>9}");
    println!("  made            {:>9}  each was fetched from its URL and decoded", made.len());
    println!("  lost            {lost:>9}");
    println!("  in time         {in_time:>9}  within {SLA_SECONDS} s of being asked for");
    println!(
        "  attempts > 1    {again:>9}  begun again, {interruptions} machines having gone away under them"
    );
    let costs = jobs.iter().filter_map(|job| job.status.as_ref()?.cost.as_ref());
    let (gpu_time, on_demand) = costs.fold(<(Money, Money)>::default(), |(amount, on_demand), cost| {
        (amount.plus(cost.amount), on_demand.plus(cost.on_demand_amount))
    });
    println!("\n{:17} {:>9} {:>13}", "USD", "spent", "all on demand");
    spent("  images", gpu_time, on_demand, "GPU time of the attempts that made them");
    let machines = "with start-up, idle time, and lost ones until their Pods are gone";
    spent("  machines", cost.total, cost.on_demand_total, machines);
    let MachineCost { seconds, amount, on_demand_amount } = cost.spot;
    spent("    spot", amount, on_demand_amount, &format!("{seconds} s"));
    let MachineCost { seconds, amount, on_demand_amount } = cost.on_demand;
    spent("    on demand", amount, on_demand_amount, &format!("{seconds} s"));
    Ok(())
}

fn spent(what: &str, amount: Money, on_demand: Money, note: &str) {
    let saved = amount.percent_below(on_demand);
    println!("{what:17} {amount:>9} {on_demand:>13}  {saved:>2} % saved; {note}");
}
