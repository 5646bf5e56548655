//! One World for all tests, one after the other. A World on which a test failed is not used again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use e2e::{EngineOptions, Studio, World, WorldOptions};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use libtest_mimic::{Failed, Trial};
use tokio::runtime::Runtime;

/// Where tests play.
pub(crate) struct Stage {
    runtime: Runtime,
    world: Mutex<Option<World>>,
    /// How long each test took, with the start of a World where it needed a new one.
    times: Mutex<Vec<(String, Duration)>>,
}

impl Stage {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self { runtime: Runtime::new()?, world: Mutex::new(None), times: Mutex::default() }))
    }

    /// A test under its name.
    pub(crate) fn trial(
        self: &Arc<Self>,
        name: &str,
        test: impl AsyncFnOnce(&World) -> Result<()> + Send + 'static,
    ) -> Trial {
        self.timed(name, move |stage| stage.play(test))
    }

    /// A test under its name that needs no World.
    pub(crate) fn alone(
        self: &Arc<Self>,
        name: &str,
        test: impl AsyncFnOnce() -> Result<()> + Send + 'static,
    ) -> Trial {
        self.timed(name, move |stage| {
            stage.runtime.block_on(test()).map_err(|error| format!("{error:#}").into())
        })
    }

    fn timed(
        self: &Arc<Self>,
        name: &str,
        test: impl FnOnce(&Self) -> Result<(), Failed> + Send + 'static,
    ) -> Trial {
        let (stage, of) = (Arc::clone(self), name.to_owned());
        Trial::test(name, move || {
            let begun = Instant::now();
            let result = test(&stage);
            stage.times.lock().unwrap_or_else(PoisonError::into_inner).push((of, begun.elapsed()));
            result
        })
    }

    /// Prints how long each test took, the longest first.
    #[allow(clippy::print_stdout, reason = "a test program's report")]
    pub(crate) fn print_times(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        for (name, took) in times.iter() {
            println!("{:7.1} s  {name}", took.as_secs_f64());
        }
    }

    /// Ends the World.
    pub(crate) fn close(&self) {
        let world = self.world().take();
        let _runtime = self.runtime.enter();
        drop(world);
    }

    fn play(&self, test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<(), Failed> {
        let mut kept = self.world();
        let world = match kept.take() {
            Some(world) => world,
            None => self.runtime.block_on(World::start(&options())).map_err(|error| format!("{error:#}"))?,
        };
        let result = self.runtime.block_on(test(&world));
        result.map_err(|error| format!("{error:#}\n{}", world.dump()))?;
        *kept = Some(world);
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, Option<World>> {
        // A test that panicked took its World with it.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn options() -> WorldOptions {
    WorldOptions { engine: EngineOptions::quick(), api_servers: 2, ..WorldOptions::default() }
}

/// A studio of the test's own, whose pictures lie in a folder of its name.
pub(crate) async fn own_studio<'a>(world: &'a World, name: &str) -> Result<Studio<'a>> {
    let folder = format!("{name}/");
    Studio::open(world, name, |spec| spec["output"]["keyPrefix"] = folder.into()).await
}

/// The studio that gentle tests share, so that workers are there already.
pub(crate) async fn studio(world: &World) -> Result<Studio<'_>> {
    const NAME: &str = "studio";
    match Api::<Namespace>::all(world.client.clone()).get_opt(NAME).await? {
        Some(_) => Ok(Studio::of(world, NAME)),
        None => Studio::open(world, NAME, |_| ()).await,
    }
}
