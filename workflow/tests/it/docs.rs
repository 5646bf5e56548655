//! What the pages of the docs show is true.

use crds::ImageRecipe;
use serde_json::json;
use workflow::{JobFacts, parse, render};

const RECIPES: &str = include_str!("../../../docs/recipes.md");
const GUIDE: &str = include_str!("../../../docs/user-guide.md");

#[test]
fn the_recipe_of_the_page_can_be_run() {
    let start = RECIPES.find("   apiVersion").expect("a recipe");
    let text: String = RECIPES[start..]
        .lines()
        .take_while(|line| !line.contains("```"))
        .map(|line| format!("{}\n", line.strip_prefix("   ").unwrap_or(line)))
        .collect();
    let recipe: ImageRecipe = serde_yaml_ng::from_str(&text).expect("a recipe");
    let nodes = json!({
        "3": {"class_type": "KSampler", "inputs": {"steps": 1, "sampler_name": "euler", "seed": 5}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}},
        "9": {"class_type": "SaveImage", "inputs": {}},
        "12": {"class_type": "LoraLoader", "inputs": {"strength_model": 1}},
        "20": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
    });
    let values = json!({"prompt": "an oil painting", "steps": 30, "face": "anna"});
    let job = JobFacts { files: &["anna"], count: 8, ..JobFacts::default() };
    let graph = nodes.as_object().expect("nodes").clone();
    let made = render(&recipe.spec, graph, values.as_object().expect("values"), job).expect("a graph");
    assert_eq!((made.units, made.seeds.len(), made.files.len()), (30.0, 1, 1));
}

#[test]
fn the_sentences_of_the_guide_are_those_that_are_said() {
    let texts: [&[u8]; 15] = [
        br#"{"nodes": [], "links": []}"#,
        b"",
        b"<html>",
        b"\xff\xfe{\0",
        b"{\n\"cfg\": NaN}",
        b"{\n// a comment\n}",
        b"{\"steps\": 20,}",
        b"{'6': 1}",
        br#"{"6": {}}"#,
        br#"{"6": 5}"#,
        br#"{"6": {"class_type": "SaveImage", "inputs": []}}"#,
        b"{}",
        b"[]",
        br#"{"6": {}  "#,
        b"{\"6\": \"crema\xe9\"}",
    ];
    for text in texts {
        let said = parse(text).expect_err("no workflow").to_string();
        assert!(GUIDE.contains(&format!("| {said} |")), "{said}");
    }
}
