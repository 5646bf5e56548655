use std::time::Duration;

use queue::Reason;
use reqwest::StatusCode;

use crate::{comfyui, ending::Ending, ending::of_the_bucket};
use addresses::literal;

/// Why an input file can't be used, in a sentence for the job's owner. It holds nothing of what a server answered but
/// the status.
#[derive(Debug, thiserror::Error)]
#[error("input {input}: {why}")]
pub struct Error {
    input: String,
    why: Why,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    #[error("its URL can't be read: {0}")]
    BadUrl(String),
    #[error("its URL begins with {0}:, and only https: is fetched")]
    NotHttps(String),
    #[error("its URL carries a user name or a password, which is not sent")]
    Credentials,
    #[error("its URL names port {0}, and only 443 is used")]
    Port(u16),
    #[error("{}", host_not_allowed(host, allowed))]
    HostNotAllowed { host: String, allowed: Vec<String> },
    #[error("{}", not_public(.0))]
    NotPublic(String),
    #[error("it is redirected, and {0}")]
    Redirected(Box<Why>),
    #[error("it is redirected more than {0} times")]
    TooManyRedirects(u32),
    #[error("{0} redirects it to nowhere")]
    RedirectedNowhere(String),
    #[error("{host} answered {status}")]
    Refused { host: String, status: StatusCode },
    #[error("{0} sent it compressed, which was not asked for")]
    Encoded(String),
    #[error("it is larger than {}", size(*.0))]
    TooLarge(u64),
    #[error("it is not base64: {0}")]
    NotBase64(String),
    #[error("the pool's bucket has no object {0} that workers may read")]
    NoObject(String),
    #[error("its SHA-256 is {is}, and the job says {wanted}")]
    OtherContent { is: String, wanted: String },
    #[error("{0}")]
    Unclean(#[from] media::BadInput),
    #[error("the check of it was not finished: {0}")]
    Unchecked(String),

    #[error("{host} answered {status}")]
    Busy { host: String, status: StatusCode },
    #[error("{host} can't be reached: {cause}")]
    Unreachable { host: String, cause: String },
    #[error("{host} stopped in the middle of it: {cause}")]
    CutShort { host: String, cause: String },
    #[error("it was not there in full after {} s", .0.as_secs_f64())]
    TooSlow(Duration),

    #[error("the pool's bucket can't be read: {0}")]
    Bucket(Box<store::Error>),
    #[error("it can't be given to the engine: {0}")]
    Engine(Box<comfyui::Error>),
    #[error("HTTP can't be set up on this worker: {0}")]
    NoHttp(String),
}

fn host_not_allowed(host: &str, allowed: &[String]) -> String {
    if allowed.is_empty() {
        return "the pool allows no URLs".to_owned();
    }
    format!("the pool does not allow the host {host}; it allows {}", allowed.join(", "))
}

fn not_public(host: &str) -> String {
    match literal(host) {
        Some(_) => format!("{host} is not a public address"),
        None => format!("{host} has an address that is not public"),
    }
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mebibytes if mebibytes << 20 == bytes => format!("{mebibytes} MiB"),
        _ => format!("{bytes} bytes"),
    }
}

impl Why {
    pub(super) fn of(self, input: &str) -> Error {
        Error { input: input.to_owned(), why: self }
    }
}

impl Error {
    /// What the job's owner and the queue are told.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match &self.why {
            Why::Busy { .. } | Why::Unreachable { .. } | Why::CutShort { .. } | Why::TooSlow(_) => {
                Reason::InputUnavailable
            }
            Why::Bucket(error) => of_the_bucket(error),
            Why::Engine(_) | Why::NoHttp(_) => Reason::EngineError,
            Why::BadUrl(_)
            | Why::NotHttps(_)
            | Why::Credentials
            | Why::Port(_)
            | Why::HostNotAllowed { .. }
            | Why::NotPublic(_)
            | Why::Redirected(_)
            | Why::TooManyRedirects(_)
            | Why::RedirectedNowhere(_)
            | Why::Refused { .. }
            | Why::Encoded(_)
            | Why::TooLarge(_)
            | Why::NotBase64(_)
            | Why::NoObject(_)
            | Why::OtherContent { .. }
            | Why::Unclean(_)
            | Why::Unchecked(_) => Reason::InputRefused,
        }
    }

    /// What becomes of the task. A bucket that is away is nothing against it.
    pub(crate) fn ending(&self) -> Ending {
        match (&self.why, self.reason()) {
            (Why::Bucket(_), reason) => Ending::withheld(reason, self),
            (Why::Engine(error), _) if !error.is_answer() => Ending::handed_back(),
            (Why::Engine(_) | Why::NoHttp(_), reason) => Ending::doubted(reason, self),
            (_, reason @ Reason::InputUnavailable) => Ending::failed(reason, self),
            (_, reason) => Ending::rejected(reason, self),
        }
    }
}
