//! Files that a graph loads, and those it must not reach.

use serde_json::Value;

use crate::{
    Graph, InputPath, class_of, inputs_of,
    model::{is_media_file, is_model_file},
    nodes::{Input, ObjectInfo},
    order::order,
    shown,
};

/// An input that names a file of the engine's input folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInput {
    /// The input.
    pub path: InputPath,
    /// The file's name as it stands there, less the annotation `[input]`.
    pub name: String,
}

/// An input whose file is outside of the engine's input folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachesOut {
    /// The input.
    pub path: InputPath,
    /// The node's class.
    pub class: String,
    /// What stands there.
    pub given: String,
    /// How it leaves the folder.
    pub why: Why,
}

/// How a name leaves the input folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It begins at the root, at a drive or at a home folder.
    Absolute,
    /// It has `..`.
    Parent,
    /// It has a backslash, which is a separator to some engines and none to others.
    Backslash,
    /// It names another folder of the engine: `[output]`, `[temp]`.
    OtherFolder,
}

impl std::fmt::Display for ReachesOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self.why {
            Why::Absolute => "is a path outside of the engine's input folder",
            Why::Parent => "has \"..\", which leads out of the engine's input folder",
            Why::Backslash => "has a backslash; write folders with \"/\"",
            Why::OtherFolder => "names another folder than the engine's input folder",
        };
        let (class, given) = (shown(&self.class), shown(&self.given));
        let (node, input) = (shown(&self.path.node), shown(&self.path.input));
        write!(
            f,
            "node {node} ({class}): {input} {given:?} {why}; give the file as an input of the job and name that"
        )
    }
}

/// The inputs that name a file of the engine's input folder, by the numbers of their nodes. `known` tells them where it
/// has the class; else the class's name does, and the file's.
#[must_use]
pub fn files(graph: &Graph, known: Option<&ObjectInfo>) -> Vec<FileInput> {
    let mut files = Vec::new();
    for (id, class, input, given) in texts(graph) {
        let definition = known.and_then(|known| known.class(class)).map(|class| class.input(input));
        let is_file = match definition {
            Some(definition) => definition.is_some_and(|definition| by_definition(class, definition, given)),
            None => by_name(class, input, given),
        };
        if is_file {
            let name = given.trim().strip_suffix("[input]").map_or(given, str::trim_end).to_owned();
            files.push(FileInput { path: InputPath::new(id, input), name });
        }
    }
    files
}

/// Paths in inputs of nodes that load files which lead out of the engine's input folder, by the numbers of their nodes.
/// Links and web addresses are no paths; nodes that fetch from addresses are for [`crate::denied`].
#[must_use]
pub fn check_paths(graph: &Graph, known: Option<&ObjectInfo>) -> Vec<ReachesOut> {
    let mut out = Vec::new();
    for (id, class, input, given) in texts(graph) {
        let definition = known.and_then(|known| known.class(class)).and_then(|class| class.input(input));
        let uploads = definition.is_some_and(|input| input.upload) || loads(class) && names_media(input);
        let by_path = loads_by_path(class) || loads(class) && may_be_path(input);
        if !(uploads || by_path) || is_address(given) {
            continue;
        }
        let why = leaves(given, uploads);
        if let Some(why) = why {
            let path = InputPath::new(id, input);
            out.push(ReachesOut { path, class: class.to_owned(), given: given.to_owned(), why });
        }
    }
    out
}

/// Whether an input names a file of the input folder: the engine looks for it itself, and not in the list of choices,
/// which is as old as its answer.
pub(crate) fn is_file_input(class: &str, definition: &Input, value: &Value) -> bool {
    value.as_str().is_some_and(|given| by_definition(class, definition, given))
}

fn by_definition(class: &str, definition: &Input, given: &str) -> bool {
    definition.upload || loads(class) && names_media(&definition.name) && !is_model_file(given)
}

fn by_name(class: &str, input: &str, given: &str) -> bool {
    let name = given.trim().strip_suffix("[input]").unwrap_or(given).trim_end();
    loads(class)
        && !is_address(given)
        && !is_model_file(name)
        && (is_media_file(name) || names_media(input))
        && !loads_by_path(class)
        && leaves(name, true).is_none()
}

fn leaves(given: &str, uploads: bool) -> Option<Why> {
    let given = given.trim();
    let drive = |text: &str| matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if given.starts_with(['/', '~']) || given.starts_with("\\\\") || drive(given) {
        Some(Why::Absolute)
    } else if given.split(['/', '\\']).any(|part| part.trim() == "..") {
        Some(Why::Parent)
    } else if uploads && (given.ends_with("[output]") || given.ends_with("[temp]")) {
        Some(Why::OtherFolder)
    } else if uploads && given.contains('\\') {
        Some(Why::Backslash)
    } else {
        None
    }
}

/// Whether a class loads something: `LoadImage`, `VHS_LoadVideo`, `Load Image Batch`, `CheckpointLoaderSimple`.
fn loads(class: &str) -> bool {
    class.contains("Load") || class.contains("load_")
}

/// Whether a class takes paths of the machine.
fn loads_by_path(class: &str) -> bool {
    ["Path", "FromDir", "FromFolder", "Directory", "VHS_LoadImages"].iter().any(|part| class.contains(part))
}

/// Whether a loader's input of this name is a file that a job brings.
fn names_media(input: &str) -> bool {
    matches!(
        input,
        "image" | "mask" | "video" | "audio" | "file" | "latent" | "gif" | "model_file" | "image_file"
    )
}

/// Whether an input of this name may be a path. Any other text may begin with anything: `/imagine`, `~40 years old`.
fn may_be_path(input: &str) -> bool {
    /// Such a one is a path whatever else it is called: `text_file`.
    const PLACES: [&str; 4] = ["path", "file", "dir", "folder"];
    const PROSE: [&str; 2] = ["text", "prompt"];
    const NAMES: [&str; 19] = [
        "name",
        "location",
        "source",
        "src",
        "uri",
        "input",
        "image",
        "mask",
        "video",
        "audio",
        "latent",
        "gif",
        "model",
        "ckpt",
        "checkpoint",
        "lora",
        "vae",
        "unet",
        "clip",
    ];
    let input = input.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| input.contains(part));
    has(&PLACES) || has(&NAMES) && !has(&PROSE)
}

fn is_address(given: &str) -> bool {
    let given = given.trim_start().to_ascii_lowercase();
    given.starts_with("http://") || given.starts_with("https://")
}

/// Every literal text: node id, class, input, text.
fn texts(graph: &Graph) -> impl Iterator<Item = (&str, &str, &str, &str)> {
    order(graph).into_iter().flat_map(|id| {
        let node = &graph[id];
        let inputs = inputs_of(node);
        inputs.filter_map(move |(input, value)| {
            value
                .as_str()
                .filter(|given| !given.is_empty())
                .map(|given| (id, class_of(node), input.as_str(), given))
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph() -> Graph {
        let nodes = json!({
            "10": {"class_type": "LoadImage", "inputs": {"image": "cat.png [input]", "upload": "image"}},
            "2": {"class_type": "VHS_LoadVideo", "inputs": {"video": "clip.mp4", "force_rate": 0}},
            "3": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}},
            "4": {"class_type": "LoadLatent", "inputs": {"latent": "start.latent"}},
            "5": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a/b.png"}},
            "6": {"class_type": "LoadImageMask", "inputs": {"image": ["2", 0], "channel": "red"}},
        });
        nodes.as_object().unwrap().clone()
    }

    #[test]
    fn files_of_the_input_folder_are_found_by_definition_or_by_name() {
        let found = |known: Option<&ObjectInfo>| -> Vec<(String, String)> {
            files(&graph(), known).into_iter().map(|file| (file.path.to_string(), file.name)).collect()
        };
        let want = [("2.video", "clip.mp4"), ("4.latent", "start.latent"), ("10.image", "cat.png")];
        let want: Vec<(String, String)> = want.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        assert_eq!(found(None), want);
        let known =
            br#"{"LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": true}]}}}}"#;
        assert_eq!(found(Some(&ObjectInfo::parse(known).unwrap())), want, "the others by their names");
    }

    #[test]
    fn paths_that_leave_the_input_folder_are_told() {
        let told = |class: &str, input: &str, given: &str| {
            let graph = json!({"7": {"class_type": class, "inputs": {input: given}}});
            let out = check_paths(graph.as_object().unwrap(), None);
            out.first().map(|out| (out.why, out.to_string()))
        };
        let table = [
            ("LoadImage", "image", "/etc/passwd", Some(Why::Absolute)),
            ("LoadImage", "image", "../output/a.png", Some(Why::Parent)),
            ("LoadImage", "image", "a/../../b.png", Some(Why::Parent)),
            ("LoadImage", "image", "C:\\a.png", Some(Why::Absolute)),
            ("LoadImage", "image", "a\\b.png", Some(Why::Backslash)),
            ("LoadImage", "image", "a.png [output]", Some(Why::OtherFolder)),
            ("LoadAudio", "audio", "a.wav [temp]", Some(Why::OtherFolder)),
            ("LoadImage", "image", "set/a..b.png", None),
            ("LoadImage", "image", "a.png [input]", None),
            ("VHS_LoadImagesPath", "directory", "/data", Some(Why::Absolute)),
            ("VHS_LoadVideoPath", "video", "../x.mp4", Some(Why::Parent)),
            ("CheckpointLoaderSimple", "ckpt_name", "/models/x.ckpt", Some(Why::Absolute)),
            ("CheckpointLoaderSimple", "ckpt_name", "xl\\base.ckpt", None),
            ("CLIPTextEncode", "text", "/imagine a cat", None),
            ("LoadCaption", "string", "/imagine a cat", None),
            ("LoadCaption", "caption", "~40 years old", None),
            ("LoadTags", "tags", "/m/ .. /n/", None),
            ("LoadLoraTagged", "lora_prompt", "/imagine", None),
            ("LoadPromptFile", "text_file", "/etc/passwd", Some(Why::Absolute)),
            ("LoadAnything", "source", "~/.ssh/id", Some(Why::Absolute)),
            ("LoadAnything", "Image_Path", "../x", Some(Why::Parent)),
            ("LoadImageFromUrl", "image", "https://a.example/../b.png", None),
        ];
        for (class, input, given, why) in table {
            assert_eq!(told(class, input, given).map(|(why, _)| why), why, "{class} {given}");
        }
        assert_eq!(
            told("LoadImage", "image", "/a.png").unwrap().1,
            "node 7 (LoadImage): image \"/a.png\" is a path outside of the engine's input folder; give the file as an \
             input of the job and name that"
        );
    }
}
