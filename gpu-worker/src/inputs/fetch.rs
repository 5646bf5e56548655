//! Fetches a file from a server that may be anybody's.

use std::{error::Error as StdError, time::Duration};

use bytes::Bytes;
use reqwest::{Client, Response, StatusCode, header, redirect};
use tokio::{sync::OnceCell, time::timeout};

use super::{
    error::Why,
    target::Target,
    trust::{NotPublic, Trust},
};

/// From the first request to the last byte, redirects included.
pub const WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const REDIRECTS: u32 = 3;
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Fetches from hosts that a pool allows.
#[derive(Debug)]
pub(super) struct Fetcher {
    trust: Trust,
    within: Duration,
    /// Made when it is first needed: most workers never fetch, and the authorities' certificates take memory.
    http: OnceCell<Client>,
}

/// What a server answers.
enum Answer {
    Body(Response),
    Elsewhere(Target),
}

impl Fetcher {
    pub(super) fn new(trust: Trust, within: Duration) -> Self {
        Self { trust, within, http: OnceCell::new() }
    }

    /// Longest time for one file.
    pub(super) fn within(&self) -> Duration {
        self.within
    }

    /// The file at a URL, of at most so many bytes.
    pub(super) async fn fetch(&self, url: &str, hosts: &[String], most: u64) -> Result<Bytes, Why> {
        let target = Target::parse(url, hosts)?;
        let http = self.http.get_or_try_init(async || client(&self.trust)).await;
        let http = http.map_err(|error| Why::NoHttp(root_of(&error).to_string()))?;
        let fetched = timeout(self.within, follow(http, target, hosts, most)).await;
        fetched.unwrap_or(Err(Why::TooSlow(self.within)))
    }
}

fn client(trust: &Trust) -> reqwest::Result<Client> {
    Client::builder()
        .https_only(true)
        .http1_only()
        // A proxy would look names up for itself, and reach what we must not.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .user_agent(AGENT)
        .connect_timeout(CONNECT_WITHIN)
        // Each request looks the name up and checks its addresses.
        .pool_max_idle_per_host(0)
        .dns_resolver(trust.clone())
        .tls_certs_merge(trust.roots.iter().cloned())
        .build()
}

async fn follow(http: &Client, mut target: Target, hosts: &[String], most: u64) -> Result<Bytes, Why> {
    for _ in 0..=REDIRECTS {
        match ask(http, &target, hosts).await? {
            Answer::Body(response) => return read(response, &target.host, most).await,
            Answer::Elsewhere(next) => target = next,
        }
    }
    Err(Why::TooManyRedirects(REDIRECTS))
}

async fn ask(http: &Client, target: &Target, hosts: &[String]) -> Result<Answer, Why> {
    let host = || target.host.clone();
    let request = http.get(target.url.clone()).header(header::ACCEPT_ENCODING, "identity");
    let response = request.send().await.map_err(|error| unreachable(&error, host()))?;
    match response.status() {
        StatusCode::OK => Ok(Answer::Body(response)),
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| Why::RedirectedNowhere(host()))?;
            Ok(Answer::Elsewhere(target.redirected(location, hosts)?))
        }
        status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS) => {
            Err(Why::Busy { host: host(), status })
        }
        status if status.is_server_error() => Err(Why::Busy { host: host(), status }),
        status => Err(Why::Refused { host: host(), status }),
    }
}

/// Counts what comes: what the head says of the length is the server's word.
async fn read(mut response: Response, host: &str, most: u64) -> Result<Bytes, Why> {
    let encoding = response.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Why::Encoded(host.to_owned()));
    }
    if response.content_length().is_some_and(|length| length > most) {
        return Err(Why::TooLarge(most));
    }
    let mut file = Vec::new();
    loop {
        let part = response.chunk().await.map_err(|error| {
            let cause = root_of(&error).to_string();
            Why::CutShort { host: host.to_owned(), cause }
        })?;
        let Some(part) = part else { return Ok(file.into()) };
        if file.len() as u64 + part.len() as u64 > most {
            return Err(Why::TooLarge(most));
        }
        file.extend_from_slice(&part);
    }
}

fn unreachable(error: &reqwest::Error, host: String) -> Why {
    let refused = chain(error).find_map(|cause| cause.downcast_ref::<NotPublic>());
    match refused {
        Some(NotPublic(host)) => Why::NotPublic(host.clone()),
        None => Why::Unreachable { host, cause: root_of(error).to_string() },
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

/// reqwest's own words name the whole URL, which may hold a signature.
fn root_of(error: &reqwest::Error) -> &(dyn StdError + 'static) {
    chain(error).last().unwrap_or(error)
}
