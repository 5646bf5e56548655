//! The order in which ComfyUI runs the nodes of a prompt.
use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::{catalog::Catalog, python};

/// The node and the output slot that a link's value names: `[node, slot]`.
pub(crate) fn link(value: &Value) -> Option<(String, usize)> {
    match value.as_array()?.as_slice() {
        [node, slot] => Some((python::str(node), usize::try_from(slot.as_u64()?).ok()?)),
        _ => None,
    }
}

/// The links among a node's inputs, in their order in the prompt.
pub(crate) fn links<'p>(
    prompt: &'p Map<String, Value>,
    node: &str,
) -> impl Iterator<Item = (&'p str, String, usize)> {
    let inputs = prompt.get(node).and_then(|node| node["inputs"].as_object());
    inputs
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| link(value).map(|(from, slot)| (name.as_str(), from, slot)))
}

/// The nodes that are still to run.
pub(crate) struct ToRun {
    /// The nodes in the order of their discovery, which breaks ties.
    pending: Vec<String>,
    is_output: HashSet<String>,
    needs: HashMap<String, BTreeSet<String>>,
    /// The nodes that need each node's output.
    feeds: HashMap<String, Vec<String>>,
}

impl ToRun {
    /// All nodes that `outputs` need and that are not cached. An output itself always runs (or shows its old result).
    pub(crate) fn new(
        catalog: &Catalog,
        prompt: &Map<String, Value>,
        outputs: &[String],
        is_cached: impl Fn(&str) -> bool,
    ) -> Self {
        let mut to_run = Self {
            pending: Vec::new(),
            is_output: HashSet::new(),
            needs: HashMap::new(),
            feeds: HashMap::new(),
        };
        for output in outputs {
            to_run.add(prompt, output, &is_cached);
        }
        let class = |id: &String| prompt[id]["class_type"].as_str().and_then(|name| catalog.class(name));
        let outputs = to_run.pending.iter().filter(|id| class(id).is_some_and(|class| class.is_output));
        to_run.is_output = outputs.cloned().collect();
        to_run
    }

    /// A stack, not recursion: ComfyUI's ties are broken by the order in which this finds the nodes.
    fn add(&mut self, prompt: &Map<String, Value>, output: &str, is_cached: &impl Fn(&str) -> bool) {
        let mut stack = vec![output.to_owned()];
        while let Some(node) = stack.pop() {
            if self.pending.contains(&node) {
                continue;
            }
            self.pending.push(node.clone());
            for (_, from, _) in links(prompt, &node) {
                if is_cached(&from) {
                    continue;
                }
                if self.needs.entry(node.clone()).or_default().insert(from.clone()) {
                    self.feeds.entry(from.clone()).or_default().push(node.clone());
                }
                stack.push(from);
            }
        }
    }

    /// Takes the next node: an output first, then a node one step before an output, then two steps before; otherwise
    /// the node that was found first.
    pub(crate) fn next(&mut self) -> Option<String> {
        let ready: Vec<&String> =
            self.pending.iter().filter(|node| self.needs.get(*node).is_none_or(BTreeSet::is_empty)).collect();
        let feeds = |node: &String| self.feeds.get(node).into_iter().flatten();
        let is_output = |node: &String| self.is_output.contains(node);
        let next = ready
            .iter()
            .find(|node| is_output(node))
            .or_else(|| ready.iter().find(|node| feeds(node).any(is_output)))
            .or_else(|| ready.iter().find(|node| feeds(node).any(|fed| feeds(fed).any(is_output))))
            .or_else(|| ready.first())
            .map(|node| (*node).clone())?;
        self.pending.retain(|node| *node != next);
        for fed in self.feeds.remove(&next).unwrap_or_default() {
            if let Some(needs) = self.needs.get_mut(&fed) {
                needs.remove(&next);
            }
        }
        Some(next)
    }
}
