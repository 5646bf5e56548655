//! What many records share is kept once.

use std::{collections::HashSet, sync::Arc};

use crds::JobOutput;

/// So many names come before those that nobody uses any more are looked for.
const FIRST_CLEANING: usize = 1024;

#[derive(Debug)]
pub(crate) struct Names {
    known: HashSet<Arc<str>>,
    clean_at: usize,
    outputs: Vec<Arc<JobOutput>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { known: HashSet::new(), clean_at: FIRST_CLEANING, outputs: Vec::new() }
    }
}

impl Names {
    /// The one copy of a name.
    pub(crate) fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.clean_at {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.clean_at = (self.known.len() * 2).max(FIRST_CLEANING);
        }
        let name: Arc<str> = name.into();
        self.known.insert(Arc::clone(&name));
        name
    }

    /// The one copy of an output; there is about one a pool.
    pub(crate) fn output(&mut self, output: &JobOutput) -> Arc<JobOutput> {
        if let Some(known) = self.outputs.iter().find(|known| ***known == *output) {
            return Arc::clone(known);
        }
        self.outputs.retain(|output| Arc::strong_count(output) > 1);
        let output = Arc::new(output.clone());
        self.outputs.push(Arc::clone(&output));
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_only_while_somebody_uses_it() {
        let mut names = Names::default();
        let studio = names.get("studio");
        assert!(Arc::ptr_eq(&studio, &names.get("studio")));
        for n in 0..10 * FIRST_CLEANING {
            names.get(&n.to_string());
        }
        assert!(names.known.len() <= FIRST_CLEANING, "{}", names.known.len());
        assert!(Arc::ptr_eq(&studio, &names.get("studio")));
    }
}
