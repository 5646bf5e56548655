//! What a pool's owner says of its queue.

use std::collections::BTreeMap;

use redis::Cmd;

use crate::{ClassSetting, Queue, Result, Settings, spec::millis};

impl Queue {
    /// Says what the pool's owner wants; every claim goes by it from now on. A queue that was never configured grants
    /// nothing.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn configure(&self, settings: &Settings) -> Result<()> {
        let mut served: BTreeMap<&str, Vec<&ClassSetting>> = BTreeMap::new();
        for class in &settings.classes {
            for capacity in &class.capacities {
                served.entry(capacity).or_default().push(class);
            }
        }
        let fill = |call: &mut Cmd| {
            call.arg(u8::from(settings.suspended));
            for (capacity, classes) in served {
                call.arg(capacity).arg(classes.len());
                for class in classes {
                    call.arg(&class.name).arg(millis(class.sla));
                }
            }
        };
        self.run_fenced(|s| &s.configure, fill).await
    }
}
