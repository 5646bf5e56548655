//! A user applies jobs; pictures come out.

use std::time::Duration;

use anyhow::Result;
use e2e::{Studio, World, WorldOptions, text_to_image};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_job_of_four_images_completes_and_the_pool_goes_back_to_zero() -> Result<()> {
    let world = World::start(&WorldOptions::default()).await?;
    let studio = Studio::open(&world, "studio", |_| ()).await?;
    studio.submit("lighthouse", text_to_image("a lighthouse at dusk", 20, 4)).await?;
    let finished = studio.complete("lighthouse", SOON).await?;
    finished.check_images().await?;
    studio.back_to_zero(SOON).await?;
    Ok(())
}
