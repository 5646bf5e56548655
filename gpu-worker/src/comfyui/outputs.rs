//! The files that a prompt made: which of them are kept, and in which order.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Under this key of a node's outputs stand its pictures; other nodes use other keys (`gifs`, `audio`, `latents`).
const IMAGES: &str = "images";
/// Latents are ours: a picture in segments saves one at each cut.
const LATENTS: &str = "latents";
const PNG: &str = ".png";

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

/// A file that a prompt made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The node that made it.
    pub node: String,
    /// What it is listed under.
    pub(super) key: String,
    /// The file.
    pub file: File,
    /// The node did not run, as an equal one had been run before: the file is that one's, if it is still there.
    pub is_cached: bool,
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of node {}", self.file.filename, self.node)
    }
}

impl Output {
    fn is_picture(&self) -> bool {
        let name = self.file.filename.as_bytes();
        let suffix = name.len().checked_sub(PNG.len()).and_then(|start| name.get(start..));
        self.key == IMAGES && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(PNG.as_bytes()))
    }
}

/// The files among what a node shows.
pub(super) fn files_of<'a>(node: &'a str, shown: &'a Value) -> impl Iterator<Item = Output> + 'a {
    let lists = shown.as_object().into_iter().flatten();
    lists.flat_map(move |(key, list)| {
        let files = list.as_array().into_iter().flatten();
        files.filter_map(move |file| {
            let file = File::deserialize(file).ok()?;
            Some(Output { node: node.to_owned(), key: key.clone(), file, is_cached: false })
        })
    })
}

/// Sorts out what is kept: pictures that are PNG files, by the numbers of their nodes; previews only where there is
/// nothing else. Second comes what is left out though its user may miss it.
pub(super) fn in_order(mut all: Vec<Output>) -> (Vec<Output>, Vec<Output>) {
    all.retain(|output| output.key != LATENTS);
    all.sort_by(|a, b| by_number(&a.node, &b.node));
    let (saved, previews): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|output| output.file.kind == "output");
    let counted = if saved.is_empty() { previews } else { saved };
    counted.into_iter().partition(Output::is_picture)
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

    use super::{Output, by_number, files_of, in_order};

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

    fn names(outputs: &[Output]) -> Vec<&str> {
        outputs.iter().map(|output| output.file.filename.as_str()).collect()
    }

    fn sorted_out(shown: &serde_json::Value) -> (Vec<Output>, Vec<Output>) {
        let nodes = shown.as_object().expect("nodes");
        in_order(nodes.iter().flat_map(|(node, shown)| files_of(node, shown)).collect())
    }

    #[test]
    fn pictures_are_kept_and_other_files_are_named() {
        let file = |name: &str, kind: &str| json!({"filename": name, "subfolder": "", "type": kind});
        let (kept, left_out) = sorted_out(&json!({
            "16": {"images": [file("large.png", "output")], "animated": [true]},
            "9": {"images": [file("a.PNG", "output"), file("b.png", "output")]},
            "3": {"images": [file("clip.webp", "output")], "latents": [file("x.latent", "output")]},
            "4": {"gifs": [file("clip.mp4", "output")], "text": ["a word"], "audio": null},
            "5": {"images": [file("preview.png", "temp")]},
            "6": "nothing",
        }));
        assert_eq!(names(&kept), ["a.PNG", "b.png", "large.png"]);
        assert_eq!(names(&left_out), ["clip.webp", "clip.mp4"]);
        assert_eq!(left_out[0].to_string(), "clip.webp of node 3");
    }

    #[test]
    fn previews_count_where_there_is_nothing_else() {
        let (kept, left_out) = sorted_out(&json!({
            "5": {"images": [{"filename": "p.png", "type": "temp"}]},
            "6": {"images": [{"subfolder": "no name"}, 5]},
        }));
        assert_eq!((names(&kept), left_out.len()), (vec!["p.png"], 0));
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
