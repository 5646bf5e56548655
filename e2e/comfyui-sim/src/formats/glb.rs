//! GLB: a triangle, with the texts where ComfyUI puts them: in the asset's extras.
use serde_json::{Map, Value, json};

use super::{Texts, length_le};

/// A GLB file; the triangle's third corner follows from a number.
pub(crate) fn glb(of: u64, texts: &Texts<'_>) -> Vec<u8> {
    let height = f32::from(of.to_le_bytes()[0]) / 255.0 + 0.5;
    let corners: [f32; 9] = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.5, height, 0.0];
    let indices: [u32; 3] = [0, 1, 2];
    let buffer: Vec<u8> = corners
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .chain(indices.iter().flat_map(|index| index.to_le_bytes()))
        .collect();
    let extras: Map<String, Value> =
        texts.iter().map(|(keyword, text)| ((*keyword).to_owned(), json!(text))).collect();
    let mut scene = json!({
        "asset": {"version": "2.0", "generator": "ComfyUI", "extras": extras},
        "buffers": [{"byteLength": buffer.len()}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 36, "target": 34962},
            {"buffer": 0, "byteOffset": 36, "byteLength": 12, "target": 34963},
        ],
        "accessors": [
            {
                "bufferView": 0, "byteOffset": 0, "componentType": 5126, "count": 3, "type": "VEC3",
                "max": [1.0, height, 0.0], "min": [0.0, 0.0, 0.0],
            },
            {"bufferView": 1, "byteOffset": 0, "componentType": 5125, "count": 3, "type": "SCALAR"},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 4}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    })
    .to_string();
    scene.push_str(&" ".repeat(scene.len().next_multiple_of(4) - scene.len()));
    let chunk = |name: &[u8; 4], content: &[u8]| [&length_le(content.len()), &name[..], content].concat();
    let chunks = [chunk(b"JSON", scene.as_bytes()), chunk(b"BIN\0", &buffer)].concat();
    [&b"glTF\x02\0\0\0"[..], &length_le(12 + chunks.len()), &chunks].concat()
}
