use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    fixtures::{job_with, pool_of},
    leader::Leads,
    metrics::Metrics,
};

const CONFIG_MAP: &str = "/api/v1/namespaces/studio/configmaps/files";
const RECIPE: &str = "/apis/imagejob.dev/v1alpha1/namespaces/studio/imagerecipes/portrait";
const BEACH: &str = "/apis/imagejob.dev/v1alpha1/namespaces/studio/imagejobs/beach";
const LIGHTHOUSE: &str = "/apis/imagejob.dev/v1alpha1/namespaces/studio/imagejobs/lighthouse";
const UID: &str = "6f0c4c56-1b1f-4e4c-9d7a-2f3b8a1c5e01";

type Objects = Arc<BTreeMap<String, Value>>;

/// An API server that has these objects, by their paths. In place of an object it may have the code of an error.
async fn with(objects: &[(&str, Value)]) -> Server {
    let objects: BTreeMap<String, Value> =
        objects.iter().map(|(path, object)| ((*path).to_owned(), object.clone())).collect();
    let app = Router::new().fallback(object).with_state(Arc::new(objects));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    Server::new(client, Leads::always(), Arc::new(Metrics::new().unwrap()))
}

async fn object(State(objects): State<Objects>, path: Uri) -> Response {
    let code = match objects.get(path.path()) {
        Some(Value::Number(code)) => code.as_u64().and_then(|code| u16::try_from(code).ok()).unwrap(),
        Some(object) => return Json(object.clone()).into_response(),
        None => 404,
    };
    let reason = if code == 404 { "NotFound" } else { "Forbidden" };
    let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
                        "reason": reason, "message": "it says so"});
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}

fn place() -> Place {
    Place { uid: UID.parse().unwrap(), namespace: "studio".into(), name: "lighthouse".into() }
}

/// What is found of a job that is at hand.
async fn loaded(server: &Server, spec: Value) -> Result<Loaded, Missing> {
    let whole = of(job_with(json!({ "spec": spec })));
    job(server, &place(), Some(Box::new(whole)), false).await
}

fn by_recipe() -> Value {
    json!({"work": {"type": "Recipe", "textToImage": null, "recipe": {"name": "portrait"}}})
}

fn with_input(from: &Value) -> Value {
    json!({"inputs": [{"name": "photo", "from": from}]})
}

fn of_beach() -> Value {
    with_input(&json!({"job": {"name": "beach", "index": 1, "output": 0}}))
}

fn config_map(content: &Value) -> Value {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}});
    json_patch::merge(&mut map, content);
    map
}

fn beach(status: &Value) -> Value {
    let named = json!({"metadata": {"name": "beach"}, "status": status});
    serde_json::to_value(job_with(named)).unwrap()
}

/// What a user is told of something that is missing.
fn missing<T: std::fmt::Debug>(source: &Source<T>) -> &str {
    let Source::Missing { message } = source else { panic!("{source:?}") };
    message
}

#[tokio::test]
async fn a_recipe_that_is_missing_is_named() {
    let loaded = loaded(&with(&[]).await, by_recipe()).await.unwrap();
    assert_eq!(missing(&loaded.recipe), "ImageRecipe studio/portrait does not exist (yet)");
    assert!(matches!(loaded.workflow, Source::Inline));
}

#[tokio::test]
async fn a_recipe_is_read_with_the_config_map_that_has_its_graph() {
    let recipe = json!({
        "apiVersion": "imagejob.dev/v1alpha1", "kind": "ImageRecipe", "metadata": {"name": "portrait"},
        "spec": {"configMapRef": {"name": "files", "key": "graph.json"}, "outputs": ["9"]},
    });
    let map = config_map(&json!({"data": {"graph.json": "{}"}}));
    let server = with(&[(RECIPE, recipe.clone()), (CONFIG_MAP, map)]).await;
    let whole = loaded(&server, by_recipe()).await.unwrap();
    assert!(matches!(&whole.recipe, Source::Found(recipe) if recipe.outputs == ["9"]));
    assert!(matches!(&whole.workflow, Source::Found(text) if text == b"{}"));
    let utf16 = config_map(&json!({"binaryData": {"graph.json": "//57AA=="}}));
    let whole =
        loaded(&with(&[(RECIPE, recipe.clone()), (CONFIG_MAP, utf16)]).await, by_recipe()).await.unwrap();
    assert!(
        matches!(&whole.workflow, Source::Found(text) if text == b"\xff\xfe{\0"),
        "as kubectl puts it there"
    );

    let without = loaded(&with(&[(RECIPE, recipe)]).await, by_recipe()).await.unwrap();
    assert_eq!(missing(&without.workflow), "ConfigMap studio/files does not exist (yet)");
}

#[tokio::test]
async fn an_input_in_a_config_map_is_bytes_or_a_text_or_says_which_key_is_missing() {
    let map = config_map(&json!({"data": {"note.txt": "hello"}, "binaryData": {"a.png": "iVBORw=="}}));
    let server = with(&[(CONFIG_MAP, map)]).await;
    let key = |key: &str| with_input(&json!({"configMapKey": {"name": "files", "key": key}}));
    for (name, content) in [("note.txt", b"hello".as_slice()), ("a.png", b"\x89PNG")] {
        let found = loaded(&server, key(name)).await.unwrap();
        assert!(matches!(&found.files["photo"], Source::Found(File::Bytes(bytes)) if bytes == content));
    }
    let found = loaded(&server, key("b.png")).await.unwrap();
    assert_eq!(missing(&found.files["photo"]), "ConfigMap studio/files has no key \"b.png\" (yet)");
}

#[tokio::test]
async fn a_file_of_another_job_is_missing_until_that_job_has_made_it() {
    let result = |index: u32, keys: &[&str]| {
        let file = |key: &&str| {
            json!({"node": "9", "name": "a.png", "mediaType": "image/png", "bytes": 1, "key": key,
                                   "url": "https://images.example.com/a.png"})
        };
        json!({"index": index, "gpuSeconds": "1", "capacity": "Spot", "amount": "0", "attempts": 1,
               "outputs": keys.iter().map(file).collect::<Vec<_>>()})
    };
    let pool = pool_of("sd15");
    let ended = "2026-01-01T00:00:00Z";
    let table = [
        (None, "ImageJob studio/beach does not exist (yet)"),
        (Some(Value::Null), "ImageJob studio/beach has made nothing yet"),
        (
            Some(json!({"pool": pool, "results": [result(0, &["a.png"])]})),
            "ImageJob studio/beach has not made output 0 of image 1 yet",
        ),
        (
            Some(json!({"pool": pool, "results": [result(1, &[])], "completionTime": ended})),
            "ImageJob studio/beach has ended, and its status lists no output 0 of image 1",
        ),
    ];
    for (status, told) in table {
        let objects: Vec<(&str, Value)> = status.iter().map(|status| (BEACH, beach(status))).collect();
        let found = loaded(&with(&objects).await, of_beach()).await.unwrap();
        assert_eq!(missing(&found.files["photo"]), told);
    }
    let made = json!({"pool": pool, "results": [result(0, &["a.png"]), result(1, &["b.png", "c.png"])]});
    let found = loaded(&with(&[(BEACH, beach(&made))]).await, of_beach()).await.unwrap();
    let Source::Found(File::Object { pool, key }) = &found.files["photo"] else { panic!("{found:?}") };
    assert_eq!((pool.to_string().as_str(), key.as_str()), ("studio/sd15", "b.png"));
}

#[tokio::test]
async fn a_job_that_is_not_at_hand_is_read_and_another_of_its_name_is_not_it() {
    let is = serde_json::to_value(job_with(json!({"metadata": {"labels": {"team": "art"}}}))).unwrap();
    let found = job(&with(&[(LIGHTHOUSE, is)]).await, &place(), None, false).await.unwrap();
    assert_eq!(found.whole.labels["team"], "art");
    let another = "aaaaaaaa-0000-4000-8000-000000000000";
    let another = serde_json::to_value(job_with(json!({"metadata": {"uid": another}}))).unwrap();
    for objects in [vec![], vec![(LIGHTHOUSE, another)]] {
        let found = job(&with(&objects).await, &place(), None, false).await;
        assert!(matches!(found, Err(Missing::Job)), "{found:?}");
    }
}

#[tokio::test]
async fn what_the_api_server_does_not_answer_is_not_missing() {
    for (path, spec) in [
        (RECIPE, by_recipe()),
        (BEACH, of_beach()),
        (CONFIG_MAP, with_input(&json!({"configMapKey": {"name": "files", "key": "a.png"}}))),
    ] {
        let found = loaded(&with(&[(path, json!(403))]).await, spec).await;
        let Err(Missing::Unanswered(why)) = found else { panic!("{found:?}") };
        assert!(why.contains("it says so"), "{why}");
    }
}
