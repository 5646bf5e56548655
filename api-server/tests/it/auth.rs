//! Who may ask, and for what.

use kube::api::DeleteParams;
use reqwest::StatusCode;
use serde_json::json;
use testkit::wait_for;

use crate::rig::{PATIENCE, Rig, answer, picture};

#[tokio::test]
async fn without_a_known_key_nothing_is_told() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    for (key, code) in [("", "no-api-key"), ("ij_wrong", "unknown-api-key"), (&key[..20], "unknown-api-key")]
    {
        let refused = answer(rig.get(&replica, "/v1/jobs", key)).await;
        assert_eq!((refused.status, refused.json["code"].as_str()), (StatusCode::UNAUTHORIZED, Some(code)));
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    assert!(!replica.said().contains(&key[3..20]), "a key is in the log");
}

#[tokio::test]
async fn a_key_that_is_revoked_or_whose_tenant_is_disabled_ends_within_seconds() {
    let rig = Rig::start().await;
    rig.tenant("acme", json!({})).await;
    let (revoked, kept) =
        (rig.key(&["--tenant", "acme", "--name", "web"]).await, rig.key(&["--tenant", "acme"]).await);
    let replica = rig.replica().await;
    let status = async |key: &str| answer(rig.get(&replica, "/v1/jobs", key)).await.status;
    assert_eq!((status(&revoked).await, status(&kept).await), (StatusCode::OK, StatusCode::OK));
    rig.secrets().delete("web", &DeleteParams::default()).await.unwrap();
    let ends = async |key: &str| {
        wait_for("the key to end", PATIENCE, async || {
            (status(key).await == StatusCode::UNAUTHORIZED).then_some(())
        })
        .await
        .unwrap();
    };
    ends(&revoked).await;
    assert_eq!(status(&kept).await, StatusCode::OK);
    rig.tenant("acme", json!({"disabled": true})).await;
    ends(&kept).await;
}

#[tokio::test]
async fn another_tenants_job_does_not_exist() {
    let rig = Rig::start().await;
    let acme = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    let created = answer(rig.post(&replica, "/v1/jobs", &acme).json(&picture("a secret"))).await;
    let id = created.json["id"].as_str().unwrap();
    let unknown = "7f1c0d2e-0000-4000-8000-000000000000";
    for (method, path) in [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/work"),
        ("POST", "/cancel"),
        ("POST", "/suspend"),
        ("POST", "/resume"),
    ] {
        let mut told = vec![];
        for id in [id, unknown] {
            let path = format!("/v1/jobs/{id}{path}");
            let request = match method {
                "GET" => rig.get(&replica, &path, &other),
                "POST" => rig.post(&replica, &path, &other),
                _ => rig.delete(&replica, &path, &other),
            };
            let refused = answer(request).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "{method} {path}");
            told.push(refused.json.to_string().replace(id, "ID"));
        }
        assert_eq!(told[0], told[1], "{method} {path}");
    }
    assert_eq!(answer(rig.get(&replica, "/v1/jobs", &other)).await.json["jobs"], json!([]));
    let input = json!([{"name": "photo", "from": {"job": {"name": id}}}]);
    let mut body = picture("a thief");
    body["inputs"] = input;
    assert_eq!(
        answer(rig.post(&replica, "/v1/jobs", &other).json(&body)).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert!(!rig.jobs().get(id).await.unwrap().spec.cancel);
}

#[tokio::test]
async fn a_read_only_key_looks_and_an_administrators_key_has_no_jobs() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let looks = rig.key(&["--tenant", "acme", "--read-only"]).await;
    let admin = rig.key(&["--admin"]).await;
    let replica = rig.replica().await;
    let created = answer(rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat"))).await;
    let path = format!("/v1/jobs/{}", created.json["id"].as_str().unwrap());
    assert_eq!(answer(rig.get(&replica, &path, &looks)).await.status, StatusCode::OK);
    for refused in [
        answer(rig.post(&replica, "/v1/jobs", &looks).json(&picture("a cat"))).await,
        answer(rig.post(&replica, &format!("{path}/cancel"), &looks)).await,
        answer(rig.delete(&replica, &path, &looks)).await,
        answer(rig.get(&replica, "/v1/jobs", &admin)).await,
    ] {
        assert_eq!(
            (refused.status, refused.json["code"].as_str()),
            (StatusCode::FORBIDDEN, Some("forbidden"))
        );
    }
    assert_eq!(rig.how_many_jobs().await, 1);
}
