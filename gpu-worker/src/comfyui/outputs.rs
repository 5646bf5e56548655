//! The files that a prompt made: which of them are kept, and in which order.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Latents are ours: a picture in segments saves one at each cut.
const LATENTS: &str = "latents";
/// Under this key a node shows texts, which are no files of the engine's.
const TEXT: &str = "text";

/// A file in one of the engine's folders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct File {
    /// Its name.
    pub filename: String,
    /// Its folder.
    #[serde(default)]
    pub subfolder: String,
    /// `output`, or `temp` for previews.
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// What a prompt made: a file, or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The node that made it.
    pub node: String,
    /// What it is listed under: `images`, `gifs`, `audio`, `3d`, …
    pub(super) key: String,
    /// Where it is.
    pub content: Content,
    /// The node did not run, as an equal one had been run before: the file is that one's, if it is still there.
    pub is_cached: bool,
}

/// Where an output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In a file of the engine's.
    File(File),
    /// Here.
    Text(String),
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.content {
            Content::File(file) => write!(f, "{} of node {}", file.filename, self.node),
            Content::Text(_) => write!(f, "the text of node {}", self.node),
        }
    }
}

impl Output {
    /// A text that a node shows.
    #[must_use]
    pub fn of_text(node: &str, text: &str) -> Self {
        let content = Content::Text(text.to_owned());
        Self { node: node.to_owned(), key: TEXT.to_owned(), content, is_cached: false }
    }

    /// The engine keeps it; previews and texts are only shown.
    fn is_saved(&self) -> bool {
        matches!(&self.content, Content::File(file) if file.kind == "output")
    }
}

/// What a node shows, as far as it can be kept.
pub(super) fn outputs_of<'a>(node: &'a str, shown: &'a Value) -> impl Iterator<Item = Output> + 'a {
    let lists = shown.as_object().into_iter().flatten().filter(|(key, _)| *key != LATENTS);
    lists.flat_map(move |(key, list)| {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(move |item| {
            let content = match item {
                Value::String(text) if key == TEXT && !text.is_empty() => Content::Text(text.clone()),
                item => Content::File(File::deserialize(item).ok()?),
            };
            Some(Output { node: node.to_owned(), key: key.clone(), content, is_cached: false })
        })
    })
}

/// Sorts out what is kept. `chosen`: the nodes whose outputs are kept, in this order. Without, what the engine saved, by
/// the numbers of the nodes; previews and texts only where nothing is saved.
pub(super) fn in_order(mut all: Vec<Output>, chosen: &[String]) -> Vec<Output> {
    if !chosen.is_empty() {
        let place = |output: &Output| chosen.iter().position(|node| *node == output.node);
        all.retain(|output| place(output).is_some());
        all.sort_by_key(place);
        return all;
    }
    if all.iter().any(Output::is_saved) {
        all.retain(Output::is_saved);
    }
    all.sort_by(|a, b| by_number(&a.node, &b.node));
    all
}

/// Node ids are numbers as a rule (`9` comes before `16`); those inside of subgraphs and expanded nodes are numbers with
/// `:` or `.` between them (`57:8`). The order in which a graph lists its nodes does not count: the API server keeps
/// objects with sorted keys.
fn by_number(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (parts(a), parts(b));
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

fn parts(id: &str) -> impl Iterator<Item = &str> {
    id.split([':', '.'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use serde_json::json;

    use super::{Output, by_number, in_order, outputs_of};

    #[test]
    fn nodes_are_ordered_by_their_numbers() {
        let ordered =
            ["1", "9", "9:2", "9:10", "9.0.0.1", "16", "57:8", "57:12:1", "100", "a", "b:2", "b:10"];
        let mut sorted = ordered;
        sorted.reverse();
        sorted.sort_by(|a, b| by_number(a, b));
        // Between `9:2` and `9.0.0.1` it is the second number that counts.
        let expected =
            ["1", "9", "9.0.0.1", "9:2", "9:10", "16", "57:8", "57:12:1", "100", "a", "b:2", "b:10"];
        assert_eq!(sorted, expected);
    }

    fn names(outputs: &[Output]) -> Vec<String> {
        outputs.iter().map(ToString::to_string).collect()
    }

    fn kept(shown: &serde_json::Value, chosen: &[&str]) -> Vec<String> {
        let nodes = shown.as_object().expect("nodes");
        let chosen: Vec<String> = chosen.iter().map(ToString::to_string).collect();
        names(&in_order(nodes.iter().flat_map(|(node, shown)| outputs_of(node, shown)).collect(), &chosen))
    }

    fn file(name: &str, kind: &str) -> serde_json::Value {
        json!({"filename": name, "subfolder": "", "type": kind})
    }

    #[test]
    fn files_of_every_kind_are_kept_by_the_numbers_of_their_nodes() {
        let shown = json!({
            "16": {"images": [file("large.png", "output")], "animated": [true]},
            "9": {"images": [file("a.PNG", "output"), file("b.png", "output")]},
            "3": {"images": [file("clip.webp", "output")], "latents": [file("x.latent", "output")]},
            "4": {"gifs": [file("clip.mp4", "output")], "text": ["a word"], "audio": null},
            "5": {"images": [file("preview.png", "temp")]},
            "7": {"3d": [file("cat.glb", "output")], "audio": [file("song.flac", "output")]},
            "6": "nothing",
        });
        assert_eq!(
            kept(&shown, &[]),
            [
                "clip.webp of node 3",
                "clip.mp4 of node 4",
                "cat.glb of node 7",
                "song.flac of node 7",
                "a.PNG of node 9",
                "b.png of node 9",
                "large.png of node 16",
            ]
        );
        assert_eq!(
            kept(&shown, &["16", "4", "5", "99"]),
            ["large.png of node 16", "clip.mp4 of node 4", "the text of node 4", "preview.png of node 5"],
            "those that were chosen, in that order"
        );
    }

    #[test]
    fn previews_and_texts_count_where_nothing_is_saved() {
        let shown = json!({
            "5": {"images": [file("p.png", "temp")]},
            "6": {"images": [{"subfolder": "no name"}, 5], "text": ["seven cats", ""]},
        });
        assert_eq!(kept(&shown, &[]), ["p.png of node 5", "the text of node 6"]);
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[0-9a:.]{0,6}", b in "[0-9a:.]{0,6}", c in "[0-9a:.]{0,6}") {
            prop_assert_eq!(by_number(&a, &b), by_number(&b, &a).reverse());
            if by_number(&a, &b).is_le() && by_number(&b, &c).is_le() {
                prop_assert!(by_number(&a, &c).is_le());
            }
        }
    }
}
