//! One attempt to deliver a message.

use std::time::Duration;

use reqwest::{Client, StatusCode, header, redirect};

use super::target::{Network, target};

/// For an attempt as a whole.
const WITHIN: Duration = Duration::from_secs(20);
/// The first bytes of an answer, which the log shows.
const SHOWN: usize = 500;
const AGENT: &str = concat!("imagejob/", env!("CARGO_PKG_VERSION"));

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Letter<'a> {
    pub(super) id: &'a str,
    pub(super) url: &'a str,
    pub(super) timestamp: i64,
    pub(super) signature: String,
    pub(super) body: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The status of the answer, if there was one.
    pub(super) status: Option<u16>,
    /// What went wrong, or the first bytes of the answer.
    pub(super) said: String,
    /// When the receiver asks to try again.
    pub(super) retry_after: Option<Duration>,
}

impl Attempt {
    pub(super) fn is_delivered(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The receiver wants no more.
    pub(super) fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }
}

/// Posts it. Redirects are not followed: they are failures, and shown as such.
pub(super) async fn post(letter: Letter<'_>, allowed: &[Network]) -> Attempt {
    let failed = |said: String| Attempt { status: None, said, retry_after: None };
    match tokio::time::timeout(WITHIN, try_to_post(letter, allowed)).await {
        Ok(Ok(attempt)) => attempt,
        Ok(Err(why)) => failed(why),
        Err(_) => failed(format!("no answer within {} s", WITHIN.as_secs())),
    }
}

async fn try_to_post(letter: Letter<'_>, allowed: &[Network]) -> Result<Attempt, String> {
    let target = target(letter.url, allowed).await?;
    // A client for each attempt: it knows the addresses that were looked at, and no others.
    let client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .user_agent(AGENT)
        .resolve_to_addrs(&target.host, &target.addresses)
        .build()
        .map_err(|error| error.to_string())?;
    let sent = client
        .post(target.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", letter.id)
        .header("webhook-timestamp", letter.timestamp)
        .header("webhook-signature", letter.signature)
        .body(letter.body)
        .send();
    let mut answer = sent.await.map_err(|error| root_of(&error))?;
    let status = answer.status();
    let seconds =
        answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let said = match answer.headers().get(header::LOCATION).filter(|_| status.is_redirection()) {
        Some(location) => {
            format!("it redirects to {}, which is not followed", location.to_str().unwrap_or_default())
        }
        // However long the answer is, its beginning is enough.
        None => answer.chunk().await.ok().flatten().map(|piece| shown(&piece)).unwrap_or_default(),
    };
    Ok(Attempt { status: Some(status.as_u16()), said, retry_after: seconds.map(Duration::from_secs) })
}

fn shown(piece: &[u8]) -> String {
    let text = String::from_utf8_lossy(piece.get(..SHOWN).unwrap_or(piece));
    text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
}

/// reqwest's own words name the whole URL, which may hold a password.
fn root_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
