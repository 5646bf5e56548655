use std::time::Duration;

use reqwest::{Method, StatusCode, Url, header::HeaderMap, redirect::Policy};

/// Azure's first answer may take its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What of an answer is worth showing, characters.
const SHOWN: usize = 100;

/// The HTTP side of any metadata service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    http: reqwest::Client,
    base: Url,
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{path} is not answered: {cause}")]
    Unanswered { path: String, cause: String },
    #[error("{path} is answered with {status}")]
    Refused { path: String, status: StatusCode },
    #[error("{path} is answered with {body:?}, which is none of the answers known")]
    Unreadable { path: String, body: String },
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// An answer, whatever it says.
pub(super) struct Answer {
    path: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Service {
    pub(super) fn new(base: Url) -> Result<Self, Error> {
        // The service is on the machine: a proxy would tell of another one.
        let http =
            reqwest::Client::builder().no_proxy().redirect(Policy::none()).timeout(ANSWER_TIMEOUT).build()?;
        Ok(Self { http, base })
    }

    /// `path` begins with a slash, and may have a query.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        header: (&'static str, &str),
    ) -> Result<Answer, Error> {
        let unanswered = |error: reqwest::Error| Error::Unanswered {
            path: path.to_owned(),
            cause: error.without_url().to_string(),
        };
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let answer =
            self.http.request(method, url).header(header.0, header.1).send().await.map_err(unanswered)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await.map_err(unanswered)?;
        Ok(Answer { path: path.to_owned(), status, headers, body })
    }
}

impl Answer {
    /// The answer, if there is one: 404 says that there is nothing to say.
    pub(super) fn found(self) -> Result<Option<Self>, Error> {
        match self.status {
            StatusCode::OK => Ok(Some(self)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(Error::Refused { path: self.path, status }),
        }
    }

    pub(super) fn unreadable(self) -> Error {
        Error::Unreadable { path: self.path, body: self.body.chars().take(SHOWN).collect() }
    }
}
