use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    multipart::{Form, Part},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{PromptId, history::History, refusal};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The engine answers from a Python thread that its own work can hold up for seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pictures may be large.
const VIEW_TIMEOUT: Duration = Duration::from_secs(60);
/// What of an unexpected answer is worth showing.
const SHOWN: usize = 300;

/// The engine's HTTP side. One method, one request; what the answers mean is for others to say.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// What went wrong with a request to the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens; the request was not sent.
    #[error("the engine at {base} does not accept connections ({request}): {cause}")]
    NotSent {
        /// The engine.
        base: Url,
        /// Method and path.
        request: String,
        /// What happened.
        cause: String,
    },
    /// No answer, or not all of it: the engine may have acted on the request or not.
    #[error("the engine at {base} did not answer {request}: {cause}")]
    Unanswered {
        /// The engine.
        base: Url,
        /// Method and path.
        request: String,
        /// What happened.
        cause: String,
    },
    /// An answer that says it went wrong, or that we can't read.
    #[error("the engine at {base} answered {request} with {status}: {body}")]
    Unexpected {
        /// The engine.
        base: Url,
        /// Method and path.
        request: String,
        /// HTTP status.
        status: StatusCode,
        /// The beginning of what it said.
        body: String,
    },
    /// It will not run this graph. The engine's own words, made readable.
    #[error("{0}")]
    Refused(String),
}

/// A file in one of the engine's folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    /// Its name.
    pub(super) filename: String,
    /// Its folder.
    #[serde(default)]
    pub(super) subfolder: String,
    /// `output`, or `temp` for previews.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
}

#[derive(Deserialize)]
struct Uploaded {
    name: String,
}

/// What the engine has to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct QueueSeen {
    pub(super) running: Vec<PromptId>,
    pub(super) pending: Vec<PromptId>,
}

impl Client {
    /// Talks to the engine at `base`, e.g. `http://127.0.0.1:8188`. Sends nothing yet.
    ///
    /// # Errors
    /// When the HTTP client can't be set up.
    pub fn new(base: Url) -> Result<Self, reqwest::Error> {
        // No proxy: the engine is on this machine, whatever the environment says of the world outside.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { http, base })
    }

    /// Where the engine is.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Queues a graph. An answer that carries node errors is a refusal, though the engine may run a part of it.
    pub(super) async fn submit(
        &self,
        id: &PromptId,
        graph: &Map<String, Value>,
        client_id: &str,
    ) -> Result<(), Error> {
        let body = json!({"prompt": graph, "prompt_id": id.as_str(), "client_id": client_id});
        let (request, response) = self.send(self.post("prompt").json(&body)).await?;
        let status = response.status();
        let text = self.text(&request, response).await?;
        match (status, serde_json::from_str::<refusal::Answer>(&text)) {
            (StatusCode::OK, Ok(answer)) if answer.node_errors.is_empty() => Ok(()),
            (StatusCode::OK | StatusCode::BAD_REQUEST, Ok(answer)) => Err(Error::Refused(answer.words())),
            (StatusCode::PAYLOAD_TOO_LARGE, _) => {
                Err(Error::Refused("the workflow is larger than the engine takes (100 MiB)".into()))
            }
            _ => Err(self.unexpected(request, status, &text)),
        }
    }

    /// What became of a prompt; `None` while it is unknown, waiting or running.
    pub(super) async fn history(&self, id: &PromptId) -> Result<Option<History>, Error> {
        let mut all: Map<String, Value> = self.json(self.get(&format!("history/{id}"))).await?;
        let Some(entry) = all.remove(id.as_str()) else { return Ok(None) };
        serde_json::from_value(entry)
            .map(Some)
            .map_err(|error| self.unexpected(format!("GET history/{id}"), StatusCode::OK, &error.to_string()))
    }

    pub(super) async fn queue(&self) -> Result<QueueSeen, Error> {
        /// `[number, id, graph, …]`
        #[derive(Deserialize)]
        struct Wire {
            queue_running: Vec<Vec<Value>>,
            queue_pending: Vec<Vec<Value>>,
        }
        let ids = |entries: Vec<Vec<Value>>| {
            entries.iter().filter_map(|entry| Some(entry.get(1)?.as_str()?.into())).collect()
        };
        let Wire { queue_running, queue_pending } = self.json(self.get("queue")).await?;
        Ok(QueueSeen { running: ids(queue_running), pending: ids(queue_pending) })
    }

    /// Takes a prompt that waits off the engine's queue; others are not touched.
    pub(super) async fn delete(&self, id: &PromptId) -> Result<(), Error> {
        self.done(self.post("queue").json(&json!({"delete": [id.as_str()]}))).await
    }

    /// Stops a prompt at its next step or node, if it is the one running.
    pub(super) async fn interrupt(&self, id: &PromptId) -> Result<(), Error> {
        self.done(self.post("interrupt").json(&json!({"prompt_id": id.as_str()}))).await
    }

    /// Drops the models and caches from the GPU's memory before the next prompt.
    pub(super) async fn free(&self) -> Result<(), Error> {
        self.done(self.post("free").json(&json!({"unload_models": true, "free_memory": true}))).await
    }

    /// A file's content.
    pub(super) async fn view(&self, file: &File) -> Result<Bytes, Error> {
        let (request, response) = self.send(self.get("view").query(file).timeout(VIEW_TIMEOUT)).await?;
        let status = response.status();
        if !status.is_success() {
            let text = self.text(&request, response).await?;
            return Err(self.unexpected(request, status, &format!("{} of {}", text.trim(), file.filename)));
        }
        response.bytes().await.map_err(|error| self.broken(request, &error))
    }

    /// Puts a file into its folder for temporary ones, which it empties when it starts; one of the same name is
    /// replaced. Returns the name by which nodes know it.
    pub(super) async fn upload(&self, name: &str, content: Bytes) -> Result<String, Error> {
        let content = Part::stream(content).file_name(name.to_owned());
        let form = Form::new().text("type", "temp").text("overwrite", "true").part("image", content);
        let Uploaded { name } = self.json(self.post("upload/image").multipart(form)).await?;
        Ok(format!("{name} [temp]"))
    }

    /// Does it answer?
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self) -> Result<(), Error> {
        self.json::<Value>(self.get("system_stats")).await.map(drop)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.base.as_str().trim_end_matches('/');
        self.http.request(method, format!("{base}/{path}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<(String, Response), Error> {
        let request = request.build().map_err(|error| self.broken("a request".into(), &error))?;
        let name = format!("{} {}", request.method(), request.url().path().trim_start_matches('/'));
        match self.http.execute(request).await {
            Ok(response) => Ok((name, response)),
            Err(error) if error.is_connect() => {
                Err(Error::NotSent { base: self.base.clone(), request: name, cause: causes(&error) })
            }
            Err(error) => Err(self.broken(name, &error)),
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let (request, response) = self.send(request).await?;
        let status = response.status();
        let text = self.text(&request, response).await?;
        if !status.is_success() {
            return Err(self.unexpected(request, status, &text));
        }
        serde_json::from_str(&text).map_err(|_| self.unexpected(request, status, &text))
    }

    async fn done(&self, request: RequestBuilder) -> Result<(), Error> {
        let (request, response) = self.send(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let text = self.text(&request, response).await?;
        Err(self.unexpected(request, status, &text))
    }

    async fn text(&self, request: &str, response: Response) -> Result<String, Error> {
        response.text().await.map_err(|error| self.broken(request.to_owned(), &error))
    }

    fn broken(&self, request: String, error: &reqwest::Error) -> Error {
        Error::Unanswered { base: self.base.clone(), request, cause: causes(error) }
    }

    fn unexpected(&self, request: String, status: StatusCode, body: &str) -> Error {
        Error::Unexpected { base: self.base.clone(), request, status, body: crate::text::cut(body, SHOWN) }
    }
}

/// reqwest's own text names the URL and little else.
fn causes(error: &reqwest::Error) -> String {
    let first: &dyn std::error::Error = error;
    match std::iter::successors(first.source(), |error| error.source()).last() {
        Some(root) => root.to_string(),
        None => error.to_string(),
    }
}
