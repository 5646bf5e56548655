use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    multipart::{Form, Part},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    Download, Error, Mark, PromptId, Refusal,
    error::causes,
    history::{History, Queued},
    mark::Extra,
    outputs::File,
    python, refusal,
    version::About,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The engine answers from a Python thread that its own work can hold up for seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// So large a text is no answer of use: graphs are a hundredth of it.
const LONGEST_TEXT: usize = 256 << 20;
/// The operator reads no more of an engine's node definitions.
const LONGEST_DEFINITIONS: usize = 16 << 20;
/// What of an unexpected answer is worth showing, bytes.
const SHOWN: usize = 300;

/// The engine's HTTP side. One method, one request; what the answers mean is for others to say.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// What the engine has to do.
#[derive(Debug, Default)]
pub(super) struct QueueSeen {
    pub(super) running: Vec<Queued>,
    pub(super) pending: Vec<Queued>,
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
            .read_timeout(ANSWER_TIMEOUT)
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
        mark: &Mark,
    ) -> Result<(), Error> {
        // Some nodes read the editor's file and fail where there is none.
        let workflow =
            json!({"nodes": [], "links": [], "groups": [], "config": {}, "extra": {}, "version": 0.4});
        let extra = json!({Extra::KEY: mark, "extra_pnginfo": {"workflow": workflow}});
        let body =
            json!({"prompt": graph, "prompt_id": id.as_str(), "client_id": client_id, "extra_data": extra});
        let (request, response) = self.send(self.post("prompt").json(&body)).await?;
        let status = response.status();
        let text = self.text(&request, response).await?;
        match (status, serde_json::from_str::<refusal::Answer>(&python::to_json(&text))) {
            (StatusCode::OK, Ok(answer)) if answer.node_errors.is_empty() => Ok(()),
            (StatusCode::OK | StatusCode::BAD_REQUEST, Ok(answer)) => Err(Error::Refused(answer.refusal())),
            (StatusCode::PAYLOAD_TOO_LARGE, _) => {
                let words = "the workflow is larger than the engine takes (100 MiB)".into();
                Err(Error::Refused(Refusal { words, is_doubtful: false }))
            }
            _ => Err(self.unexpected(request, status, &text)),
        }
    }

    /// What became of a prompt; `None` while it is unknown, waiting or running.
    pub(super) async fn history(&self, id: &PromptId) -> Result<Option<History>, Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct All(std::collections::HashMap<String, History>);
        let All(mut all) = self.json(self.get(&format!("history/{id}"))).await?;
        Ok(all.remove(id.as_str()))
    }

    /// The latest prompts that have ended, at most so many.
    pub(super) async fn histories(&self, most: u32) -> Result<Vec<(PromptId, History)>, Error> {
        let all: std::collections::HashMap<String, History> =
            self.json(self.get("history").query(&[("max_items", most)])).await?;
        Ok(all.into_iter().map(|(id, history)| (id.as_str().into(), history)).collect())
    }

    /// Has the engine forget what became of a prompt.
    pub(super) async fn forget(&self, id: &PromptId) -> Result<(), Error> {
        self.done(self.post("history").json(&json!({"delete": [id.as_str()]}))).await
    }

    pub(super) async fn queue(&self) -> Result<QueueSeen, Error> {
        #[derive(Deserialize)]
        struct Wire {
            queue_running: Vec<Queued>,
            queue_pending: Vec<Queued>,
        }
        let Wire { queue_running, queue_pending } = self.json(self.get("queue")).await?;
        Ok(QueueSeen { running: queue_running, pending: queue_pending })
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

    /// A file's content, as it comes.
    pub(super) async fn view(&self, file: &File) -> Result<Download, Error> {
        let (request, response) = self.send_unbounded(self.get("view").query(file)).await?;
        let status = response.status();
        let request = format!("{request} of {}", file.filename);
        if !status.is_success() {
            let text = self.text(&request, response).await?;
            return Err(self.unexpected(request, status, text.trim()));
        }
        Ok(Download::new(self.base.clone(), request, response))
    }

    /// Writes a file into one of the engine's folders, in place of one of the same name. Returns its name there.
    pub(super) async fn upload(&self, file: &File, content: Bytes) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Uploaded {
            name: String,
        }
        let File { filename, subfolder, kind } = file.clone();
        let content = Part::stream(content).file_name(filename);
        let form = Form::new()
            .text("type", kind)
            .text("subfolder", subfolder)
            .text("overwrite", "true")
            .part("image", content);
        let Uploaded { name } = self.json(self.post("upload/image").multipart(form)).await?;
        Ok(name)
    }

    /// What it says of itself and its devices. Answering, it asks the GPU for its memory.
    ///
    /// # Errors
    /// When it does not answer, or can't.
    pub async fn about(&self) -> Result<About, Error> {
        self.json(self.get("system_stats")).await
    }

    /// Its node definitions. It may take its time: it looks through all folders of models.
    pub(super) async fn object_info(&self) -> Result<String, Error> {
        let (request, response) = self.send_unbounded(self.get("object_info")).await?;
        let text = self.answer(LONGEST_DEFINITIONS, &request, response).await?;
        Ok(match python::to_json(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(json) => json,
        })
    }

    /// A list that it has under a path.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Error> {
        self.json(self.get(path)).await
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
        self.send_unbounded(request.timeout(ANSWER_TIMEOUT)).await
    }

    /// The whole answer may take its time, as long as something comes.
    async fn send_unbounded(&self, request: RequestBuilder) -> Result<(String, Response), Error> {
        let request = request.build().map_err(|error| unanswered(&self.base, "a request", &error))?;
        let name = format!("{} {}", request.method(), request.url().path().trim_start_matches('/'));
        match self.http.execute(request).await {
            Ok(response) => Ok((name, response)),
            Err(error) if error.is_connect() => {
                Err(Error::NotSent { base: self.base.clone(), request: name, cause: causes(&error) })
            }
            Err(error) => Err(unanswered(&self.base, &name, &error)),
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let (request, response) = self.send(request).await?;
        let text = self.answer(LONGEST_TEXT, &request, response).await?;
        serde_json::from_str(&python::to_json(&text))
            .map_err(|error| Error::Unreadable { request, cause: error.to_string() })
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

    /// The text of an answer of at most so many bytes, which has to be one of success.
    async fn answer(&self, most: usize, request: &str, response: Response) -> Result<String, Error> {
        let status = response.status();
        let text = self.text_up_to(most, request, response).await?;
        if !status.is_success() {
            return Err(self.unexpected(request.to_owned(), status, &text));
        }
        Ok(text)
    }

    async fn text(&self, request: &str, response: Response) -> Result<String, Error> {
        self.text_up_to(LONGEST_TEXT, request, response).await
    }

    async fn text_up_to(&self, most: usize, request: &str, mut response: Response) -> Result<String, Error> {
        let mut text = Vec::new();
        while let Some(part) =
            response.chunk().await.map_err(|error| unanswered(&self.base, request, &error))?
        {
            if text.len() + part.len() > most {
                let cause = format!("it is longer than {} MiB", most >> 20);
                return Err(Error::Unreadable { request: request.to_owned(), cause });
            }
            text.extend_from_slice(&part);
        }
        Ok(match String::from_utf8(text) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    fn unexpected(&self, request: String, status: StatusCode, body: &str) -> Error {
        Error::Unexpected { base: self.base.clone(), request, status, body: crate::text::cut(body, SHOWN) }
    }
}

fn unanswered(base: &Url, request: &str, error: &reqwest::Error) -> Error {
    Error::Unanswered { base: base.clone(), request: request.to_owned(), cause: causes(error) }
}
