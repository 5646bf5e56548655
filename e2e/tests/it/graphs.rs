//! Files that are no workflow, and workflows that may not run: their user reads in one sentence what to do.

use std::{ffi::OsString, fs};

use anyhow::{Context as _, Result, ensure};
use crds::conditions::JobReason;
use e2e::{MODEL, Studio, World, graph, workflow};
use serde_json::{Value, json};

use crate::{
    SOON,
    stage::{own_studio, studio},
};

/// As ComfyUI's editor saves it, with the places of its boxes.
fn editors_file() -> Value {
    let node = json!({ "id": 3, "type": "KSampler", "pos": [10, 20], "widgets_values": [7] });
    json!({ "last_node_id": 9, "nodes": [node], "links": [[1, 4, 0, 3, 0, "MODEL"]], "version": 0.4 })
}

pub(crate) async fn a_file_that_is_no_workflow_says_what_to_do(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let whole = graph(MODEL).to_string();
    let with = |from: &str, to: &str| whole.replacen(from, to, 1).into_bytes();
    let utf16 = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(whole.encode_utf16()).flat_map(order).collect()
    };
    let export = "export it with Workflow > Export (API)";
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("editor", editors_file().to_string().into(), "this is the editor's own format; "),
        ("list", b"[]".to_vec(), "it is an array, not an object of node id → node; "),
        ("empty", b" \n".to_vec(), "it is empty; put the workflow's JSON there: "),
        ("page", b"<!DOCTYPE html><html>".to_vec(), "it is an HTML page, not a workflow; "),
        ("utf16-le", utf16(u16::to_le_bytes), "it is UTF-16; save it as UTF-8"),
        ("utf16-be", utf16(u16::to_be_bytes), "it is UTF-16; save it as UTF-8"),
        (
            "latin-1",
            b"{\"6\": \"caf\xe9\"}".to_vec(),
            "it is not UTF-8 text: byte 10 is not; save it as UTF-8",
        ),
        ("nan", with("7.0", "NaN"), "line 1 has NaN, which JSON does not have; put a number there"),
        ("comment", with("{", "{\n// mine\n"), "line 2 has a comment, which JSON does not have; take it out"),
        (
            "comma",
            b"{\"9\": {\"class_type\": \"SaveImage\",}}".to_vec(),
            "line 1 has a comma with nothing after it",
        ),
        (
            "python",
            whole.replace('"', "'").into_bytes(),
            "line 1 has single quotes, so it is Python and not JSON; ",
        ),
    ];
    for (name, content, expected) in cases {
        config_map(&studio, name, &content)?;
        studio.submit(name, in_config_map(name)).await?;
        let message = studio.reason(name, JobReason::ConfigMapInvalid, SOON).await?;
        let at = format!("ConfigMap {}/{name}, key flow.json: {expected}", studio.namespace);
        ensure!(message.starts_with(&at), "{name}: {message}");
        ensure!(!expected.ends_with("; ") || message.contains(export) || name == "page", "{name}: {message}");
        studio.delete(name).await?;
    }
    // A byte order mark of UTF-8 does no harm, nor does the body of a request.
    let body = json!({ "client_id": "x", "prompt": graph(MODEL) }).to_string();
    config_map(&studio, "marked", format!("\u{feff}{body}").as_bytes())?;
    studio.submit("marked", in_config_map("marked")).await?;
    studio.complete("marked", SOON).await?;

    let inline = studio.create_as_user("inline", &workflow(&editors_file())).err();
    let said = format!("{:#}", inline.context("the editor's file is not refused")?);
    ensure!(said.contains("is not in ComfyUI's API format") && said.contains("Export (API)"), "{said}");
    Ok(())
}

pub(crate) fn in_config_map(name: &str) -> Value {
    let reference = json!({ "configMapRef": { "name": name, "key": "flow.json" } });
    json!({ "work": { "type": "Workflow", "workflow": reference } })
}

/// As a user makes one from a file.
pub(crate) fn config_map(studio: &Studio<'_>, name: &str, content: &[u8]) -> Result<()> {
    let file = studio.world.files().join(format!("{name}.json"));
    fs::write(&file, content)?;
    let from = format!("--from-file=flow.json={}", file.display());
    let args = ["create", "configmap", name, "-n", &studio.namespace, &from].map(OsString::from);
    studio.world.cluster.kubectl(args).map(drop)
}

pub(crate) async fn nodes_and_paths_that_reach_out_are_refused(world: &World) -> Result<()> {
    let studio = own_studio(world, "reach").await?;
    let mut reads = graph(MODEL);
    reads["5"] = json!({ "class_type": "LoadImage", "inputs": { "image": "../../etc/passwd" } });
    reads["10"] = json!({ "class_type": "VAEEncode", "inputs": { "pixels": ["5", 0], "vae": ["4", 2] } });
    reads["3"]["inputs"]["latent_image"] = json!(["10", 0]);
    studio.submit("reads", workflow(&reads)).await?;
    let (reason, message) = studio.ended("reads", SOON).await?.ready();
    ensure!(reason == JobReason::WorkflowInvalid.as_str(), "{reason}: {message}");
    ensure!(message.contains("node 5 (LoadImage): image \"../../etc/passwd\" has \"..\""), "{message}");

    let mut fetches = graph(MODEL);
    fetches["11"] =
        json!({ "class_type": "LoadImageFromUrl", "inputs": { "url": "http://169.254.169.254/" } });
    studio.submit("fetches", workflow(&fetches)).await?;
    let message = studio.reason("fetches", JobReason::LimitExceeded, SOON).await?;
    ensure!(message.contains("LoadImageFromUrl") && message.contains("spec.limits.denyNodes"), "{message}");
    studio.delete("fetches").await?;

    studio.change_pool(json!({ "limits": { "denyNodes": ["vae*"] } })).await?;
    studio.submit("decodes", workflow(&graph(MODEL))).await?;
    let message = studio.reason("decodes", JobReason::LimitExceeded, SOON).await?;
    ensure!(message.contains("VAEDecode"), "{message}");
    studio.change_pool(json!({ "limits": { "denyNodes": [] } })).await?;
    studio.complete("decodes", SOON).await.map(drop)
}
