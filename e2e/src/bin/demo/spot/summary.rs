//! What came of it, in figures.

use anyhow::Result;
use crds::{Image, ImageJob, PoolCost, Sla};
use e2e::Finished;

use super::SLA_SECONDS;

/// Fetches and decodes every image, and prints the figures.
///
/// # Errors
/// When an image that its job calls made is not there.
pub(crate) async fn print(jobs: &[ImageJob], asked: u32, cost: &PoolCost) -> Result<()> {
    let mut made: Vec<&Image> = Vec::new();
    for job in jobs {
        let images = job.status.as_ref().map(|status| status.images.as_slice()).unwrap_or_default();
        if !images.is_empty() {
            Finished { job: job.clone() }.check_images().await?;
        }
        made.extend(images);
    }
    let status = |job: &ImageJob| job.status.clone().unwrap_or_default();
    let in_time = jobs.iter().filter(|job| status(job).sla == Some(Sla::Met)).count();
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
    println!("spent, USD        {:>9}  start-up and idle time included", cost.total);
    println!("  spot            {:>9}  {} s of machines", cost.spot.amount, cost.spot.seconds);
    println!("  on demand       {:>9}  {} s of machines", cost.on_demand.amount, cost.on_demand.seconds);
    let saved = cost.total.percent_below(cost.on_demand_total);
    println!("  all on demand   {:>9}  the same machines; {saved} % saved", cost.on_demand_total);
    Ok(())
}
