//! How large an image of a graph is and how many steps it takes, as far as the graph has that as numbers.

use serde_json::Value;

use crate::{Graph, class_of, seeds::literal_of};

/// Pixels of a megapixel, as `ImageScaleToTotalPixels` of the engine counts them.
const MEGAPIXEL: f64 = 1024.0 * 1024.0;

/// The largest `steps` of a node.
#[must_use]
pub fn most_steps(graph: &Graph) -> Option<u64> {
    graph.values().filter_map(|node| number(graph, &node["inputs"]["steps"])).max()
}

/// The largest width × height of a node, or `megapixels` of one, in pixels. What is worked out while the graph runs, as
/// the size of an input or a factor that it is scaled by, is not known.
#[must_use]
pub fn most_pixels(graph: &Graph) -> Option<u64> {
    graph.values().filter_map(|node| pixels(graph, node)).max()
}

fn pixels(graph: &Graph, node: &Value) -> Option<u64> {
    // There, width and height tell the model of the pictures it has learned from (`CLIPTextEncodeSDXL`).
    if class_of(node).contains("TextEncode") {
        return None;
    }
    let inputs = &node["inputs"];
    let side = |name: &str| number(graph, &inputs[name]);
    let area = side("width").zip(side("height")).map(|(width, height)| width.saturating_mul(height));
    let scaled = float(graph, &inputs["megapixels"]).map(|megapixels| whole(megapixels * MEGAPIXEL));
    area.max(scaled)
}

fn number(graph: &Graph, value: &Value) -> Option<u64> {
    float(graph, value).map(whole)
}

/// A number in any form that the engine takes, here or in a node that only holds a value.
fn float(graph: &Graph, value: &Value) -> Option<f64> {
    match literal_of(graph, value)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Below zero is zero, and too much the most.
fn whole(number: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a cast of floats saturates
    let whole = number.ceil() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_largest_number_of_the_graph_counts_in_whatever_form_it_stands() {
        let table = [
            (
                json!({"5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768}}}),
                Some(393_216),
            ),
            (
                json!({"5": {"class_type": "EmptyLatentImage", "inputs": {"width": "512", "height": 768.0}}}),
                Some(393_216),
            ),
            (
                json!({"5": {"class_type": "EmptyLatentImage", "inputs": {"width": ["1", 0], "height": 64}},
                       "1": {"class_type": "PrimitiveInt", "inputs": {"value": 4096}}}),
                Some(262_144),
            ),
            (
                json!({"5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512}},
                       "6": {"class_type": "LatentUpscale", "inputs": {"width": 1024, "height": 1024}}}),
                Some(1_048_576),
            ),
            (
                json!({"7": {"class_type": "ImageScaleToTotalPixels", "inputs": {"megapixels": 2.0}}}),
                Some(2_097_152),
            ),
            (
                json!({"6": {"class_type": "CLIPTextEncodeSDXL", "inputs": {"width": 4096, "height": 4096}}}),
                None,
            ),
            (
                json!({"5": {"class_type": "EmptyLatentImage", "inputs": {"width": ["20", 0], "height": 64}},
                       "20": {"class_type": "GetImageSize", "inputs": {"image": ["21", 0]}}}),
                None,
            ),
            (json!({"5": {"inputs": {"width": 1e300, "height": 1e300}}}), Some(u64::MAX)),
        ];
        for (graph, want) in table {
            assert_eq!(most_pixels(graph.as_object().unwrap()), want, "{graph}");
        }
    }

    #[test]
    fn steps_are_those_of_the_longest_sampler() {
        let table = [
            (json!({"3": {"inputs": {"steps": 20}}, "4": {"inputs": {"steps": "50"}}}), Some(50)),
            (json!({"3": {"inputs": {"steps": ["1", 0]}}, "1": {"inputs": {"value": 80}}}), Some(80)),
            (json!({"3": {"inputs": {"steps": -5}}}), Some(0)),
            (json!({"3": {"inputs": {"cfg": 7}}}), None),
        ];
        for (graph, want) in table {
            assert_eq!(most_steps(graph.as_object().unwrap()), want, "{graph}");
        }
    }
}
