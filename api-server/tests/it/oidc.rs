//! Bearer tokens of an OpenID Connect issuer.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, routing::get};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::wait_for;
use tokio::net::TcpListener;

use crate::rig::{Answer, PATIENCE, Replica, Rig, answer, picture};

/// An issuer: its keys may change.
struct Issuer {
    url: String,
    published: Arc<Mutex<Vec<Value>>>,
}

/// A private key, and its name.
struct Signer {
    kid: &'static str,
    key: EncodingKey,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        Self { kid, key: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    fn public(&self) -> Value {
        let mut key =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap()).unwrap();
        key["kid"] = json!(self.kid);
        key
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key).unwrap()
    }
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}/realm", listener.local_addr().unwrap());
        let published: Arc<Mutex<Vec<Value>>> = Arc::default();
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let keys =
            async |State(keys): State<Arc<Mutex<Vec<Value>>>>| Json(json!({"keys": *keys.lock().unwrap()}));
        let app = Router::new()
            .route("/realm/.well-known/openid-configuration", get(async move || Json(discovery)))
            .route("/realm/keys", get(keys))
            .with_state(Arc::clone(&published));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, published }
    }

    fn publish(&self, signers: &[&Signer]) {
        *self.published.lock().unwrap() = signers.iter().map(|signer| signer.public()).collect();
    }

    /// The claims of a good token.
    fn claims(&self, subject: &str) -> Value {
        let now = Timestamp::now().as_second();
        json!({"iss": self.url, "aud": ["images", "others"], "sub": subject, "iat": now, "exp": now + 600,
            "kubernetes.io": {"namespace": "acme"}})
    }
}

async fn replica(rig: &Rig, issuer: &Issuer) -> Replica {
    let issuer = format!("--oidc-issuer={}", issuer.url);
    rig.replica_with(&[&issuer, "--oidc-audience=images", "--oidc-tenant-claim=/kubernetes.io/namespace"])
        .await
}

async fn submit(rig: &Rig, replica: &Replica, token: &str) -> Answer {
    answer(rig.post(replica, "/v1/jobs", token).json(&picture("a cat"))).await
}

#[tokio::test]
async fn a_token_of_the_issuer_is_as_good_as_a_key_of_the_tenant_that_it_names() {
    let rig = Rig::start().await;
    rig.tenant("acme", json!({})).await;
    let key = rig.tenant_with_key("other", json!({})).await;
    let issuer = Issuer::start().await;
    let signer = Signer::new("a");
    issuer.publish(&[&signer]);
    let replica = replica(&rig, &issuer).await;
    let token = signer.sign(&issuer.claims("system:serviceaccount:acme:web"));
    let job = wait_for("the issuer's keys", PATIENCE, async || {
        let answer = submit(&rig, &replica, &token).await;
        // Until the keys are known nobody can tell.
        assert!(matches!(answer.status.as_u16(), 201 | 503), "{answer:?}");
        (answer.status == StatusCode::CREATED).then_some(answer.json)
    })
    .await
    .unwrap();
    let name = job["id"].as_str().unwrap();
    let labels = rig.jobs().get(name).await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels["imagejob.dev/tenant"], "acme");
    assert!(labels["imagejob.dev/api-key"].starts_with("oidc-"), "{labels:?}");

    // Its jobs are those of the tenant; others have none of them. API keys go on.
    let path = format!("/v1/jobs/{name}");
    let again = signer.sign(&issuer.claims("system:serviceaccount:acme:batch"));
    assert_eq!(answer(rig.get(&replica, &path, &again)).await.status, StatusCode::OK);
    assert_eq!(answer(rig.get(&replica, &path, &key)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(submit(&rig, &replica, &key).await.status, StatusCode::CREATED);
    assert!(!replica.said().contains(&token), "a token is in the log");

    rig.tenant("acme", json!({"disabled": true})).await;
    wait_for("the tenant's tokens to be refused", PATIENCE, async || {
        (submit(&rig, &replica, &token).await.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_token_that_is_not_good_says_why() {
    let rig = Rig::start().await;
    rig.tenant("acme", json!({})).await;
    let issuer = Issuer::start().await;
    let (signer, stranger) = (Signer::new("a"), Signer::new("a"));
    issuer.publish(&[&signer]);
    let replica = replica(&rig, &issuer).await;
    let good = issuer.claims("me");
    let token = signer.sign(&good);
    wait_for("the issuer's keys", PATIENCE, async || {
        (submit(&rig, &replica, &token).await.status == StatusCode::CREATED).then_some(())
    })
    .await
    .unwrap();
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        claims
    };
    let now = Timestamp::now().as_second();
    // A token that says that the public key is a shared secret.
    let shared = EncodingKey::from_secret(signer.public()["x"].as_str().unwrap().as_bytes()).unwrap();
    let hmac = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::HS256) };
    let unsigned = {
        let mut parts = token.split('.');
        let (_, claims) = (parts.next(), parts.next().unwrap());
        // {"alg":"none","kid":"a"}
        format!("eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.{claims}.")
    };
    for (token, says) in [
        (signer.sign(&with("exp", json!(now - 120))), "it has expired"),
        (signer.sign(&with("nbf", json!(now + 600))), "it counts only later"),
        (signer.sign(&with("aud", json!("others"))), "it is for another audience"),
        (signer.sign(&with("iss", json!("https://login.example.com"))), "it is of another issuer"),
        (signer.sign(&with("sub", Value::Null)), "it"),
        (signer.sign(&with("kubernetes.io", json!({}))), "claim /kubernetes.io/namespace"),
        (signer.sign(&with("kubernetes.io", json!({"namespace": "nobody"}))), "no tenant \"nobody\""),
        (stranger.sign(&good), "its signature is wrong"),
        (encode(&hmac, &good, &shared).unwrap(), "public key"),
        (unsigned, "it can't be read"),
        ("a.b.c".to_owned(), "it can't be read"),
    ] {
        let refused = submit(&rig, &replica, &token).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{says}: {refused:?}");
        let detail = refused.json["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{says}: {detail}");
    }
    // An administrator's work needs a key.
    assert_eq!(answer(rig.get(&replica, "/v1/keys", &token)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_new_key_of_the_issuer_counts_soon_and_an_old_one_no_longer() {
    let rig = Rig::start().await;
    rig.tenant("acme", json!({})).await;
    let issuer = Issuer::start().await;
    let (first, second) = (Signer::new("first"), Signer::new("second"));
    issuer.publish(&[&first]);
    let replica = replica(&rig, &issuer).await;
    let path = "/v1/jobs";
    let status = async |token: &str| answer(rig.get(&replica, path, token)).await.status;
    let (old, new) = (first.sign(&issuer.claims("me")), second.sign(&issuer.claims("me")));
    let until = async |token: &str, wanted: StatusCode| {
        wait_for("the issuer's keys", PATIENCE, async || (status(token).await == wanted).then_some(()))
            .await
            .unwrap();
    };
    until(&old, StatusCode::OK).await;
    issuer.publish(&[&second]);
    until(&new, StatusCode::OK).await;
    until(&old, StatusCode::UNAUTHORIZED).await;
}
