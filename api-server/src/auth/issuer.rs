//! Bearer tokens of an OpenID Connect issuer, beside API keys: JSON Web Tokens (RFC 7519), checked by the keys that the issuer
//! publishes (OpenID Connect Discovery 1.0, RFC 7517). A claim of the token names the tenant.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use reqwest::{Certificate, Client, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{ApiKey, Rights, hash, to_hex};
use crate::error::Error;

/// Signed by whoever has the private key. An algorithm with a shared secret is never taken: its secret would be public.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// For one answer of the issuer.
const ANSWER: Duration = Duration::from_secs(10);
/// The issuer's keys are asked for again after so long: issuers publish a new key before they sign with it.
const FRESH: Duration = Duration::from_secs(300);
/// Between two questions at least, whatever tokens come.
const PAUSE: Duration = Duration::from_secs(10);
/// An answer of the issuer in bytes.
const MOST_BYTES: usize = 1 << 20;
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The clocks of issuer and server may differ by so much, in seconds.
const LEEWAY: u64 = 60;

/// Whose tokens are taken, and for what.
#[derive(Debug)]
pub(crate) struct Issuer {
    url: String,
    audience: String,
    /// The claim that names the tenant: its name, or a JSON pointer (RFC 6901).
    tenant_claim: String,
    http: Client,
    keys: RwLock<Option<Published>>,
    /// Somebody came with a key that is not known.
    wanted: Notify,
}

/// The keys that the issuer published, and when they were read.
#[derive(Debug)]
struct Published {
    keys: JwkSet,
    read: Instant,
}

/// Whom a good token is for.
#[derive(Debug)]
pub(crate) struct Bearer {
    /// Stands for the subject where an API key would: the same subject has the same name and hash.
    pub(crate) key: ApiKey,
    /// The token ends then.
    pub(crate) until: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(flatten)]
    others: Value,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

/// Whether it looks like a token, and not like an API key.
pub(super) fn is_token(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl Issuer {
    /// # Errors
    /// When its address or the authorities to trust can't be used.
    pub(crate) fn new(
        url: &str,
        audience: &str,
        tenant_claim: &str,
        authorities: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let parsed = Url::parse(url).with_context(|| format!("the OIDC issuer {url:?} is no URL"))?;
        let is_local = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        anyhow::ensure!(
            parsed.scheme() == "https" || is_local,
            "the OIDC issuer {url:?} must be an https:// URL: whoever changes its answers on the way makes tokens"
        );
        let roots = match authorities {
            None => vec![],
            Some(path) => {
                let pem = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
                Certificate::from_pem_bundle(&pem)
                    .with_context(|| format!("read the certificates in {}", path.display()))?
            }
        };
        let http = Client::builder().connect_timeout(ANSWER).tls_certs_merge(roots).build();
        Ok(Self {
            url: url.to_owned(),
            audience: audience.to_owned(),
            tenant_claim: tenant_claim.to_owned(),
            http: http.context("make a client for the OIDC issuer")?,
            keys: RwLock::new(None),
            wanted: Notify::new(),
        })
    }

    /// Keeps the issuer's keys; never returns.
    pub(crate) async fn run(&self) {
        loop {
            match timeout(ANSWER * 2, self.read())
                .await
                .map_err(|_| anyhow::anyhow!("no answer in time"))
                .flatten()
            {
                Ok(keys) => {
                    tracing::debug!(
                        issuer = self.url,
                        keys = keys.keys.len(),
                        "the OIDC issuer's keys are read"
                    );
                    let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                    *known = Some(Published { keys, read: Instant::now() });
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(issuer = self.url, error, "the OIDC issuer's keys can't be read");
                }
            }
            sleep(PAUSE).await;
            let has_keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).is_some();
            // What came while keys were asked for is not waited for again.
            let _ = timeout(if has_keys { FRESH } else { Duration::ZERO }, self.wanted.notified()).await;
        }
    }

    async fn read(&self) -> anyhow::Result<JwkSet> {
        let well_known = format!("{}/.well-known/openid-configuration", self.url.trim_end_matches('/'));
        let Discovered { issuer, jwks_uri } = self.get(&well_known).await?;
        anyhow::ensure!(issuer == self.url, "{well_known} is of another issuer: {issuer}");
        self.get(&jwks_uri).await
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> anyhow::Result<T> {
        let ask = async {
            let mut response = self.http.get(url).send().await?.error_for_status()?;
            let mut body = vec![];
            while let Some(piece) = response.chunk().await? {
                anyhow::ensure!(
                    body.len() + piece.len() <= MOST_BYTES,
                    "it has more than {MOST_BYTES} bytes"
                );
                body.extend_from_slice(&piece);
            }
            Ok(serde_json::from_slice(&body)?)
        };
        ask.await.with_context(|| format!("ask for {url}"))
    }

    /// Whom a token is for.
    ///
    /// # Errors
    /// [`Error::BadToken`]; [`Error::Unavailable`] while the issuer's keys are not known.
    pub(super) fn check(&self, token: &str) -> Result<Bearer, Error> {
        let bad = |why: &str| Error::BadToken(why.to_owned());
        let header = decode_header(token).map_err(|_| bad("it can't be read"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(bad("it is not signed by an algorithm with a public key"));
        }
        let key = self.key(header.kid.as_deref(), header.alg)?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.url]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        let claims =
            decode::<Claims>(token, &key, &validation).map_err(|error| bad(why(error.kind())))?.claims;
        let tenant = self.tenant_in(&claims.others);
        let tenant =
            tenant.ok_or_else(|| bad(&format!("it has no text in the claim {}", self.tenant_claim)))?;
        let hash = hash(&format!("{}\0{}", self.url, claims.sub));
        let name = format!("oidc-{}", &to_hex(&hash)[..12]);
        let until = claims.exp.saturating_add_unsigned(LEEWAY);
        Ok(Bearer {
            key: ApiKey { name, tenant: Some(tenant.to_owned()), rights: Rights::Use, hash },
            until: Timestamp::from_second(until).unwrap_or(Timestamp::MAX),
        })
    }

    fn tenant_in<'a>(&self, claims: &'a Value) -> Option<&'a str> {
        let claim = &self.tenant_claim;
        let found = if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
        found?.as_str().filter(|tenant| !tenant.is_empty())
    }

    /// The issuer's key of this name. One that is not known is asked for, at most every few seconds.
    fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Error> {
        let published = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || {
            self.wanted.notify_one();
            let what = "the keys of the OpenID Connect issuer are being asked for".to_owned();
            Error::Unavailable { what, retry_after: RETRY_AFTER }
        };
        let Some(Published { keys, read }) = &*published else { return Err(unknown()) };
        let signs = |key: &&Jwk| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let mut found = keys.keys.iter().filter(signs);
        let key = match kid {
            Some(kid) => found.find(|key| key.common.key_id.as_deref() == Some(kid)),
            // A token may leave the name out where there is one key.
            None => found.next().filter(|_| keys.keys.len() == 1),
        };
        let Some(key) = key else {
            // It may be new, or made up.
            let is_old = read.elapsed() > PAUSE;
            return Err(if is_old {
                unknown()
            } else {
                Error::BadToken("its key is not one of the issuer's".into())
            });
        };
        let decoding = DecodingKey::from_jwk(key).ok();
        let decoding = decoding.filter(|key| key.family().algorithms().contains(&algorithm));
        decoding.ok_or_else(|| Error::BadToken("its key is not one for its algorithm".to_owned()))
    }
}

fn why(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it counts only later",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::MissingRequiredClaim(_) => "it lacks one of the claims exp, iss, aud and sub",
        _ => "it can't be read",
    }
}

/// Keeps the keys of the issuer, if there is one; never returns.
pub(crate) async fn run(issuer: Option<&Arc<Issuer>>) {
    match issuer {
        Some(issuer) => issuer.run().await,
        None => std::future::pending().await,
    }
}
