//! What a pool's owner says of its queue.

use crate::{Error, Queue, Result, Settings, spec::millis};

/// As it is kept: paused; then by class its name, promise in ms, and the capacities that serve it.
type Stored = (bool, Vec<(String, u64, Vec<String>)>);

impl Queue {
    /// Says what the pool's owner wants; every claim goes by it from now on. A queue that was never configured grants
    /// nothing.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn configure(&self, settings: &Settings) -> Result<()> {
        let classes = settings.classes.iter();
        let stored: Stored = (
            settings.paused,
            classes.map(|class| (class.name.clone(), millis(class.sla), class.capacities.clone())).collect(),
        );
        let json = serde_json::to_string(&stored).map_err(|error| Error::malformed("settings", error))?;
        let mut call = redis::cmd("SET");
        call.arg(self.key("settings")).arg(json);
        Ok(self.redis.query(&call).await?)
    }

    /// The classes that a kind of machine serves now.
    pub(crate) async fn classes_of(&self, capacity: &str) -> Result<Vec<String>> {
        let mut call = redis::cmd("GET");
        call.arg(self.key("settings"));
        let stored: Option<String> = self.redis.query(&call).await?;
        let Some(stored) = stored else { return Ok(Vec::new()) };
        let (paused, classes): Stored =
            serde_json::from_str(&stored).map_err(|error| Error::malformed("settings", error))?;
        let serves =
            |(name, _, by): (String, u64, Vec<String>)| by.iter().any(|by| by == capacity).then_some(name);
        Ok(if paused { Vec::new() } else { classes.into_iter().filter_map(serves).collect() })
    }
}
