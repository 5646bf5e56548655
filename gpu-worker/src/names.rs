//! What files are called: for people, and where they may be found again.

use std::{collections::HashMap, fmt::Write as _};

use media::MediaType;
use queue::{Format, TaskSpec};
use serde_json::{Map, Value};

use crate::comfyui::Output;

/// What a task's first file is as a rule, the likeliest first; after these, all kinds there are.
const LIKELY: [&str; 14] =
    ["png", "webp", "jpg", "mp4", "webm", "gif", "flac", "mp3", "wav", "opus", "glb", "txt", "avif", "json"];
/// The engine's own nodes that save or show PNG files and nothing else.
const PNG_NODES: [&str; 3] = ["SaveImage", "PreviewImage", "SaveImageWebsocket"];
const PREFIX_INPUT: &str = "filename_prefix";
/// A node without a name for its files.
const NAMELESS: &str = "output";
/// Names are no longer, in characters.
const LONGEST: usize = 100;

/// The names of a task's files, without their extensions: the last part of the node's own `filename_prefix`, the number of
/// the image as the engine writes numbers, and which file of the node it is from the second on.
pub(crate) fn names(spec: &TaskSpec, outputs: &[Output], index: u32) -> Vec<String> {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let name = |output: &Output, nth: u32| {
        let prefix = spec.graph.get(&output.node).and_then(|node| node["inputs"][PREFIX_INPUT].as_str());
        let stem =
            prefix.and_then(|prefix| prefix.rsplit(['/', '\\']).next()).filter(|stem| !stem.is_empty());
        let stem: String =
            stem.unwrap_or(NAMELESS).chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        match nth {
            0 => format!("{stem}_{index:05}"),
            nth => format!("{stem}_{index:05}-{nth}"),
        }
    };
    let mut named = Vec::with_capacity(outputs.len());
    for output in outputs {
        let nth = seen.entry(&output.node).or_default();
        named.push(name(output, *nth));
        *nth += 1;
    }
    named
}

/// The extensions with which an earlier attempt may have stored the task's first file. A file of a kind that is not known
/// keeps whatever extension it had, and is not among them: it is made anew, and found when it is stored.
pub(crate) fn expected_extensions(spec: &TaskSpec) -> Vec<&'static str> {
    let wanted = spec.form.format.map(|format| match format {
        Format::Png => "png",
        Format::Webp => "webp",
        Format::Jpeg => "jpg",
        Format::Avif => "avif",
    });
    if spec.outputs.is_empty() && saves_pictures_only(&spec.graph) {
        return vec![wanted.unwrap_or("png")];
    }
    let mut expected: Vec<_> = wanted.into_iter().collect();
    for extension in LIKELY.into_iter().chain(MediaType::extensions()) {
        if !expected.contains(&extension) {
            expected.push(extension);
        }
    }
    expected
}

/// Nodes that name files are the ones that save them.
fn saves_pictures_only(graph: &Map<String, Value>) -> bool {
    let savers = graph.values().filter(|node| !node["inputs"][PREFIX_INPUT].is_null());
    let mut classes = savers.map(|node| node["class_type"].as_str().unwrap_or_default()).peekable();
    classes.peek().is_some() && classes.all(|class| PNG_NODES.contains(&class))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use media::MediaType;
    use queue::TaskSpec;
    use serde_json::{Value, json};

    use super::{expected_extensions, names};
    use crate::comfyui::{Content, Output};

    fn spec(graph: Value, form: Value) -> TaskSpec {
        let mut spec = json!({"timeoutSeconds": 1});
        (spec["graph"], spec["form"]) = (graph, form);
        serde_json::from_value(spec).expect("a spec")
    }

    #[test]
    fn a_file_has_the_name_its_node_gives_and_the_number_of_its_image() {
        let spec = spec(
            json!({
                "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "shop/2026/hero"}},
                "12": {"class_type": "SaveImage", "inputs": {"filename_prefix": ["8", 0]}},
                "13": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a/"}},
            }),
            json!({}),
        );
        let outputs: Vec<Output> =
            ["9", "9", "12", "13", "99"].map(|node| Output::of_text(node, "a text")).into();
        assert!(matches!(outputs[0].content, Content::Text(_)));
        assert_eq!(
            names(&spec, &outputs, 7),
            ["hero_00007", "hero_00007-1", "output_00007", "output_00007", "output_00007"]
        );
    }

    #[test]
    fn a_file_is_looked_for_where_it_may_be() {
        let save = |class: &str| json!({"9": {"class_type": class, "inputs": {"filename_prefix": "x"}}});
        assert_eq!(expected_extensions(&spec(save("SaveImage"), json!({}))), ["png"]);
        assert_eq!(expected_extensions(&spec(save("SaveImage"), json!({"format": "jpeg"}))), ["jpg"]);
        let video = expected_extensions(&spec(save("SaveVideo"), json!({})));
        assert!(video.starts_with(&["png"]) && video.contains(&"mp4"), "{video:?}");
        let asked = expected_extensions(&spec(save("SaveVideo"), json!({"format": "webp"})));
        assert_eq!((asked[0], asked.len()), ("webp", video.len()));
    }

    /// By the nodes of ComfyUI and VideoHelper that save files, and by what `media` calls what they write.
    #[test]
    fn a_file_of_any_kind_that_a_node_saves_is_looked_for() {
        let expected = expected_extensions(&spec(json!({}), json!({})));
        let saved: [(&str, &[&str]); 9] = [
            ("SaveImage, SaveAnimatedPNG, SaveAnimatedWEBP", &["png", "webp"]),
            ("SaveVideo, SaveWEBM, VHS_VideoCombine", &["mp4", "mov", "mkv", "webm", "gif", "avif"]),
            ("SaveAudio, SaveAudioMP3, SaveAudioOpus", &["flac", "mp3", "opus"]),
            ("sounds of other nodes", &["wav", "ogg", "oga", "m4a"]),
            ("SaveSVGNode", &["svg"]),
            ("images of other nodes", &["jpg", "exr"]),
            ("SaveGLB and other meshes", &["glb", "gltf", "obj", "stl", "ply"]),
            ("SaveLatent, CheckpointSave", &["latent", "safetensors"]),
            ("PreviewAny, SaveText", &["txt", "json", "md", "csv", "srt", "vtt"]),
        ];
        for (nodes, extensions) in saved {
            for extension in extensions {
                assert!(expected.contains(extension), "{extension} of {nodes}");
            }
        }
        for extension in MediaType::extensions() {
            assert_eq!(expected.iter().filter(|other| **other == extension).count(), 1, "{extension}");
        }
    }
}
