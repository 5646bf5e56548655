use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::Segment;

/// How far the engine is in a graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nodes {
    /// So many have run, or need not …
    pub done: u32,
    /// … of so many in the graph.
    pub total: u32,
    /// The id of the one that runs, and its class, where it is of the graph.
    pub running: Option<(String, Option<String>)>,
}

/// What is known of a prompt's graph beforehand, and how far the engine is in it.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Without any, the engine's own count of steps is taken.
    segments: Vec<Segment>,
    /// The nodes that no other node waits for, less those that are done.
    open_ends: HashSet<String>,
    /// All nodes, and their classes.
    classes: HashMap<String, String>,
    /// Those of them that have run, or need not.
    done: HashSet<String>,
    /// The node that runs.
    running: Option<String>,
}

impl Outline {
    pub(super) fn new(graph: &Map<String, Value>, segments: &[Segment]) -> Self {
        let inputs = graph.values().filter_map(|node| node.get("inputs")?.as_object()).flat_map(Map::values);
        let links = inputs.filter_map(|input| input.as_array()?.first()?.as_str());
        let waited_for: HashSet<&str> = links.collect();
        let open_ends = graph.keys().filter(|id| !waited_for.contains(id.as_str())).cloned().collect();
        let class = |node: &Value| node["class_type"].as_str().unwrap_or_default().to_owned();
        let classes = graph.iter().map(|(id, node)| (id.clone(), class(node))).collect();
        Self { segments: segments.to_vec(), open_ends, classes, ..Self::default() }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn cached(&mut self, nodes: &[String]) {
        self.open_ends.retain(|node| !nodes.contains(node));
        nodes.iter().for_each(|node| self.is_done(node));
    }

    /// A node that another one has added while it ran is not counted: the graph would seem to grow.
    fn is_done(&mut self, node: &str) {
        if self.classes.contains_key(node) {
            self.done.insert(node.to_owned());
        }
    }

    /// Returns whether it is the last one.
    pub(super) fn begins(&mut self, node: &str) -> bool {
        if let Some(done) = self.running.replace(node.to_owned()) {
            self.open_ends.remove(&done);
            self.is_done(&done);
        }
        // One that had begun and asked for more inputs runs again.
        self.done.remove(node);
        self.open_ends.len() == 1 && self.open_ends.contains(node)
    }

    pub(super) fn ends(&mut self) {
        if let Some(done) = self.running.take() {
            self.is_done(&done);
        }
    }

    pub(super) fn nodes(&self) -> Nodes {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let running = self.running.as_ref().map(|id| (id.clone(), self.classes.get(id).cloned()));
        Nodes { done: count(self.done.len()), total: count(self.classes.len()), running }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Nodes, Outline};

    fn outline() -> Outline {
        let graph = json!({
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
            "3": {"class_type": "ImageScaleBy", "inputs": {"image": ["1", 0]}},
            "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
        });
        Outline::new(graph.as_object().expect("a graph"), &[])
    }

    fn nodes(done: u32, running: Option<(&str, Option<&str>)>) -> Nodes {
        let running = running.map(|(id, class)| (id.to_owned(), class.map(str::to_owned)));
        Nodes { done, total: 4, running }
    }

    #[test]
    fn the_last_node_is_the_one_that_nothing_is_left_to_make_after() {
        let is_last = |cached: &[&str], begun: &[&str]| {
            let mut outline = outline();
            outline.cached(&cached.iter().map(|&node| node.to_owned()).collect::<Vec<_>>());
            begun.iter().fold(false, |_, node| outline.begins(node))
        };
        assert!(!is_last(&[], &["1", "2"]), "4 is left");
        assert!(!is_last(&[], &["1", "2", "3"]));
        assert!(is_last(&[], &["1", "2", "3", "4"]));
        assert!(is_last(&["1", "2"], &["4"]));
    }

    #[test]
    fn nodes_are_done_when_another_begins_and_when_they_need_not_run() {
        let mut outline = outline();
        assert_eq!(outline.nodes(), nodes(0, None));
        outline.cached(&["1".into(), "of another graph".into()]);
        assert_eq!(outline.nodes(), nodes(1, None));
        outline.begins("2");
        assert_eq!(outline.nodes(), nodes(1, Some(("2", Some("SaveImage")))));
        outline.begins("3");
        assert_eq!(outline.nodes(), nodes(2, Some(("3", Some("ImageScaleBy")))));
        outline.begins("3.0.1");
        assert_eq!(outline.nodes(), nodes(3, Some(("3.0.1", None))), "added by 3 as it ran");
        outline.begins("3");
        assert_eq!(outline.nodes(), nodes(2, Some(("3", Some("ImageScaleBy")))), "it had asked for more");
        outline.begins("4");
        outline.ends();
        assert_eq!(outline.nodes(), nodes(4, None));
    }
}
