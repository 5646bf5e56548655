//! The recorded answer to `GET /object_info`: see `object_info-0.33.0.md`.

use std::sync::LazyLock;

use workflow::ObjectInfo;

const TEXT: &str = include_str!("object_info-0.33.0.json");

pub(crate) static ENGINE: LazyLock<ObjectInfo> =
    LazyLock::new(|| ObjectInfo::parse(TEXT.as_bytes()).expect("node definitions"));

/// The same, whatever files an engine has: of VAEs it names one that is no file, so its list is not empty.
pub(crate) static ANY_FILES: LazyLock<ObjectInfo> = LazyLock::new(|| {
    let mut nodes: serde_json::Value = serde_json::from_str(TEXT).expect("JSON");
    nodes["VAELoader"]["input"]["required"]["vae_name"] = serde_json::json!([[]]);
    ObjectInfo::parse(nodes.to_string().as_bytes()).expect("node definitions")
});

#[test]
fn a_real_engine_s_nodes_are_read_and_written_without_loss() {
    assert_eq!(ENGINE.len(), 633);
    assert_eq!(ENGINE.to_json(), TEXT.trim_end(), "the recording is what is written");
    assert_eq!(ObjectInfo::parse(ENGINE.to_json().as_bytes()).as_ref(), Ok(&*ENGINE));
    let sampler = ENGINE.class("KSampler").expect("a sampler");
    assert!(!sampler.is_output() && !sampler.is_api() && !sampler.is_custom());
    assert!(ENGINE.class("SaveImage").is_some_and(workflow::Class::is_output));
    assert!(ENGINE.choices("KSampler", "sampler_name").contains(&"euler"));
    assert_eq!(ENGINE.nearest("KSampller", 1), ["KSampler"]);
}

#[test]
fn both_shapes_of_a_choice_are_read_alike() {
    let older = br#"{"A": {"input": {"required": {"x": [["a", "b"], {"tooltip": "t"}]}}, "output": []}}"#;
    let newer = br#"{"A": {"input": {"required": {"x": ["COMBO", {"options": ["a", "b"]}]}}, "output": []}}"#;
    assert_eq!(ObjectInfo::parse(older), ObjectInfo::parse(newer));
}

#[test]
fn what_is_no_list_of_nodes_is_refused() {
    for text in ["", "[]", "{\"A\": 5}", "<html>"] {
        let told = ObjectInfo::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(told.starts_with("not an answer to GET /object_info: "), "{told}");
    }
    for odd in
        [r#"{"A": {}}"#, r#"{"A": {"input": {"required": {"x": 5, "y": [], "z": "INT"}}, "output": [5]}}"#]
    {
        assert!(ObjectInfo::parse(odd.as_bytes()).is_ok(), "{odd}");
    }
}

#[test]
fn engines_that_have_different_files_are_put_together() {
    let engine = |files: &str, more: &str| {
        let text = format!(
            r#"{{"CheckpointLoaderSimple": {{"input": {{"required": {{"ckpt_name": [{files}]}}}}, "output": []}}{more}}}"#
        );
        ObjectInfo::parse(text.as_bytes()).expect("node definitions")
    };
    let mut both = engine(r#"["b.ckpt", "a.ckpt"]"#, "");
    both.merge(&engine(r#"["a.ckpt", "c.ckpt"]"#, r#", "Other": {"output": []}"#));
    assert_eq!(both.models(), ["a.ckpt", "b.ckpt", "c.ckpt"]);
    assert!(both.class("Other").is_some());
    assert!(ENGINE.models().is_empty());
}
