//! What the types write is what the API server keeps, and what it fills in is what the types fill in.

use crds::{ImageJob, ImageRecipe, ImageTenant, WorkerPool};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    objects::{
        config_map_job, config_map_recipe, full_job, full_pool, graph_job, image_job, job, pool, recipe,
        recipe_job, tenant,
    },
    server::Server,
};

fn spec_as_typed<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: K = serde_json::from_value(object.clone()).unwrap();
    serde_json::to_value(typed).unwrap()["spec"].clone()
}

/// JSON has one kind of number: 7 and 7.0 are the same, and a quantity may be 1 or "1".
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            number.to_string() == *text
        }
        (a, b) => a == b,
    }
}

#[tokio::test]
async fn defaults_of_the_types_are_those_of_the_api_server() {
    let server = Server::get().await;
    for object in [job(), full_job(), image_job(), graph_job(), config_map_job(), recipe_job()] {
        let kept = server.admit(&object).await.unwrap();
        let typed = spec_as_typed::<ImageJob>(&object);
        assert!(same(&kept["spec"], &typed), "{}\n{typed}", kept["spec"]);
    }
    for object in [recipe(), config_map_recipe()] {
        let kept = server.admit(&object).await.unwrap();
        let typed = spec_as_typed::<ImageRecipe>(&object);
        assert!(same(&kept["spec"], &typed), "{}\n{typed}", kept["spec"]);
    }
    let kept = server.admit(&tenant()).await.unwrap();
    let typed = spec_as_typed::<ImageTenant>(&tenant());
    assert!(same(&kept["spec"], &typed), "{}\n{typed}", kept["spec"]);
    for object in [pool(), full_pool()] {
        let kept = server.admit(&object).await.unwrap();
        let typed = spec_as_typed::<WorkerPool>(&object);
        assert!(same(&kept["spec"], &typed), "{}\n{typed}", kept["spec"]);
    }
}

#[tokio::test]
async fn null_means_absent_and_a_whole_number_may_be_written_any_way() {
    let mut job = job();
    job["spec"]["tenant"] = Value::Null;
    job["spec"]["count"] = Value::Null;
    let work = &mut job["spec"]["work"];
    work["workflow"] = Value::Null;
    work["textToImage"]["seed"] = Value::Null;
    work["textToImage"]["width"] = json!(1024.0);
    work["textToImage"]["steps"] = json!(1e2);
    let kept: ImageJob = serde_json::from_value(Server::get().await.admit(&job).await.unwrap()).unwrap();
    assert_eq!((kept.spec.tenant, kept.spec.count, kept.spec.work.workflow), (None, 1, None));
    let text = kept.spec.work.text_to_image.unwrap();
    let sampling = text.sampling;
    assert_eq!((sampling.seed, text.width, sampling.steps), (None, Some(1024), Some(100)));
}
