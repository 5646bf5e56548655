//! The pictures that a workflow starts from: `images: [{"name", "image"}]`, of which nodes take the names.

use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use crate::{app::App, error::Error, uploads::Folder};

/// A job starts from so many files at most.
const MOST: usize = 20;

/// Hands the pictures in, and has the spec's workflow start from them.
pub(super) async fn hand_in(
    app: &App,
    endpoint: &Endpoint,
    images: &Value,
    spec: &mut Map<String, Value>,
) -> Result<(), Error> {
    let bad = |pointer: String| {
        Error::invalid(pointer, "it must be {\"name\": …, \"image\": base64 or a data URL}")
    };
    let images = images.as_array().ok_or_else(|| bad("/input/images".to_owned()))?;
    if images.is_empty() {
        return Ok(());
    }
    if images.len() > MOST {
        return Err(Error::invalid("/input/images", format!("they are at most {MOST}")));
    }
    let folder = Folder::to_fill(app, &endpoint.caller, &endpoint.mount()).await?;
    let mut inputs = vec![];
    for (i, image) in images.iter().enumerate() {
        let pointer = format!("/input/images/{i}");
        let (Some(name), Some(content)) = (image["name"].as_str(), image["image"].as_str()) else {
            return Err(bad(pointer));
        };
        let input = format!("image-{i}");
        if let Some(graph) = spec.get_mut("work").and_then(|work| work.pointer_mut("/workflow/graph")) {
            rename(graph, name, &input);
        }
        let uploaded = folder.take_base64(&format!("{pointer}/image"), content).await?;
        inputs.push(uploaded.input(&input));
    }
    spec.insert("inputs".to_owned(), json!(inputs));
    Ok(())
}

/// Has the nodes that take a file of this name take that of the job's input.
fn rename(graph: &mut Value, file: &str, input: &str) {
    let nodes = graph.as_object_mut().into_iter().flat_map(Map::values_mut);
    for value in nodes.filter_map(|node| node.get_mut("inputs")?.as_object_mut()).flat_map(Map::values_mut) {
        if value == file {
            *value = json!(input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_take_the_jobs_input_instead_of_the_clients_file() {
        let mut graph = json!({
            "1": {"class_type": "LoadImage", "inputs": {"image": "cat.png", "upload": "image"}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "cat"}},
            "3": "no node",
        });
        rename(&mut graph, "cat.png", "image-0");
        assert_eq!(graph["1"]["inputs"], json!({"image": "image-0", "upload": "image"}));
        assert_eq!(graph["2"]["inputs"], json!({"images": ["1", 0], "filename_prefix": "cat"}));
    }
}
