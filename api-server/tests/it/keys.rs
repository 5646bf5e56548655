//! Administrators create and revoke keys over HTTP.

use reqwest::StatusCode;
use serde_json::json;
use testkit::wait_for;

use crate::rig::{PATIENCE, Rig, answer};

#[tokio::test]
async fn an_administrator_creates_a_key_that_is_shown_once_and_revokes_it() {
    let rig = Rig::start().await;
    rig.tenant("acme", json!({})).await;
    let admin = rig.key(&["--admin", "--name", "root"]).await;
    let replica = rig.replica().await;
    let made =
        answer(rig.post(&replica, "/v1/keys", &admin).json(&json!({"tenant": "acme", "name": "web"}))).await;
    assert_eq!(
        (made.status, &made.json["name"], &made.json["rights"]),
        (StatusCode::CREATED, &json!("web"), &json!("use"))
    );
    let key = made.json["key"].as_str().unwrap();
    let status = async || answer(rig.get(&replica, "/v1/jobs", key)).await.status;
    wait_for("the key to count", PATIENCE, async || (status().await == StatusCode::OK).then_some(()))
        .await
        .unwrap();
    let listed = answer(rig.get(&replica, "/v1/keys", &admin)).await.json;
    assert_eq!(
        listed["keys"],
        json!([
            {"name": "root", "tenant": null, "rights": "admin"},
            {"name": "web", "tenant": "acme", "rights": "use"},
        ])
    );
    assert!(!listed.to_string().contains(key));
    for (body, pointer) in [
        (json!({"tenant": "nobody"}), "/tenant"),
        (json!({"tenant": "acme", "name": "web"}), "/name"),
        (json!({"tenant": "acme", "name": "Web!"}), "/name"),
        (json!({"tenant": "acme", "rights": "admin"}), "/rights"),
    ] {
        let refused = answer(rig.post(&replica, "/v1/keys", &admin).json(&body)).await;
        assert_eq!(
            (refused.status, &refused.json["errors"][0]["pointer"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(pointer)),
            "{refused:?}"
        );
    }
    assert_eq!(answer(rig.delete(&replica, "/v1/keys/web", &admin)).await.status, StatusCode::NO_CONTENT);
    wait_for("the key to end", PATIENCE, async || (status().await == StatusCode::UNAUTHORIZED).then_some(()))
        .await
        .unwrap();
    wait_for("it to be unlisted", PATIENCE, async || {
        (answer(rig.delete(&replica, "/v1/keys/web", &admin)).await.status == StatusCode::NOT_FOUND)
            .then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_tenants_key_makes_no_keys() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    for refused in [
        answer(rig.get(&replica, "/v1/keys", &key)).await,
        answer(rig.post(&replica, "/v1/keys", &key).json(&json!({"tenant": "acme"}))).await,
        answer(rig.delete(&replica, "/v1/keys/web", &key)).await,
    ] {
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
}
