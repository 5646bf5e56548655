//! The web page: as a browser uses it, and in a real one.

mod browser;
mod jobs;
mod sign_in;

use std::time::Duration;

use kube::{Api, api::PostParams};
use reqwest::{Client, RequestBuilder, StatusCode, redirect::Policy};
use serde_json::json;
use testkit::{S3, S3Options};

use crate::{
    maker::Maker,
    rig::{Replica, Rig},
};

/// What a browser sends with a form of the same site.
const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A page as it was answered.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) html: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The value of a form's hidden field.
    pub(crate) fn hidden(&self, name: &str) -> &str {
        let begin = format!("name=\"{name}\" value=\"");
        let rest = self.html.split_once(&begin).unwrap_or_else(|| panic!("no {name} in {}", self.html)).1;
        rest.split_once('"').expect("a quote").0
    }
}

/// Sends it and reads the answer.
pub(crate) async fn page(request: RequestBuilder) -> Page {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Page { status, headers, html: response.text().await.expect("a page") }
}

/// A browser that keeps no cookie by itself and follows no redirect.
pub(crate) fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

pub(crate) fn url(replica: &Replica, path: &str) -> String {
    format!("http://{}{path}", replica.address)
}

/// A form of the page with an API key.
pub(crate) fn key_form(replica: &Replica, key: &str) -> RequestBuilder {
    let form = format!("key={}", key.replace(' ', "+"));
    browser()
        .post(url(replica, "/ui/sign-in"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
}

/// The answer to a key that is entered.
pub(crate) async fn enter(replica: &Replica, key: &str) -> Page {
    page(key_form(replica, key).header(SAME.0, SAME.1)).await
}

/// Signs in; returns the cookie as browsers send it.
pub(crate) async fn sign_in(replica: &Replica, key: &str) -> String {
    let page = enter(replica, key).await;
    assert_eq!((page.status, page.header("location")), (StatusCode::SEE_OTHER, "/"), "{page:?}");
    page.header("set-cookie").split(';').next().expect("a cookie").to_owned()
}

/// Who is signed in.
pub(crate) struct Visitor<'a> {
    pub(crate) replica: &'a Replica,
    pub(crate) cookie: String,
}

impl<'a> Visitor<'a> {
    pub(crate) async fn new(replica: &'a Replica, key: &str) -> Self {
        Self { replica, cookie: sign_in(replica, key).await }
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        page(browser().get(url(self.replica, path)).header("cookie", &self.cookie)).await
    }

    pub(crate) fn posting(&self, path: &str) -> RequestBuilder {
        browser().post(url(self.replica, path)).header("cookie", &self.cookie).header(SAME.0, SAME.1)
    }

    pub(crate) async fn post(&self, path: &str) -> Page {
        page(self.posting(path)).await
    }
}

/// A studio with a recipe, whose jobs are made by somebody.
pub(crate) struct Studio {
    pub(crate) rig: Rig,
    pub(crate) replica: Replica,
    pub(crate) key: String,
    _s3: S3,
    _maker: Maker,
}

impl Studio {
    /// One where a picture takes `each`.
    pub(crate) async fn open(each: Duration) -> Self {
        let rig = Rig::start().await;
        let s3 = S3::start(S3Options::default()).await.expect("S3");
        let status = json!({
            "queue": {"waiting": 3, "running": 2},
            "fleets": [{"name": "spot", "type": "Spot", "total": 3, "starting": 1, "idle": 0, "busy": 2, "draining": 0}],
            "models": [{"name": "sd15.safetensors", "folder": "checkpoints"}],
        });
        rig.pool("sd15", &s3, |pool| pool["status"] = status).await;
        let inputs = json!([
            {"name": "prompt", "description": "What it shows.", "type": "String", "to": ["6.text"], "required": true, "maxLength": 500},
            {"name": "steps", "type": "Integer", "to": ["3.steps"], "default": 20, "minimum": 1, "maximum": "50"},
            {"name": "style", "type": "Enum", "to": ["3.style"], "choices": ["ink", "oil"], "default": "oil"},
            {"name": "photo", "type": "Image", "to": ["4.image"]},
            {"name": "seed", "type": "Seed", "to": ["3.seed"]},
        ]);
        let recipe: crds::ImageRecipe = serde_json::from_value(json!({
            "apiVersion": "imagejob.dev/v1alpha1", "kind": "ImageRecipe", "metadata": {"name": "portrait"},
            "spec": {"description": "A portrait.", "graph": {"3": {"class_type": "KSampler", "inputs": {}}}, "inputs": inputs},
        }))
        .expect("a recipe");
        let api = Api::namespaced(rig.client.clone(), &rig.studio);
        api.create(&PostParams::default(), &recipe).await.expect("a recipe");
        let key = rig.tenant_with_key("acme", json!({})).await;
        let replica = rig.replica_at_home().await;
        let maker = Maker::start(&rig, "sd15", &s3, each).await;
        Self { rig, replica, key, _s3: s3, _maker: maker }
    }
}
