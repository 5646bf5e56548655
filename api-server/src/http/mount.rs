//! Where in the URL a front is mounted. All fronts are at the root; each is also below `/pools/{namespace}/{name}`, so that
//! a pool has a base URL of its own, and below `/k/{key}`, for clients that can't send a key in a header.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderValue, Uri, header::AUTHORIZATION, request::Parts, uri::PathAndQuery},
};

use crate::cache::PoolKey;

/// Where a request's front is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The pool that the URL names; jobs that name none are for it.
    pub(crate) pool: Option<PoolKey>,
}

impl Mount {
    /// The path before the front's own, without a key.
    pub(crate) fn prefix(&self) -> String {
        self.pool.as_ref().map_or_else(String::new, |pool| format!("/pools/{}/{}", pool.namespace, pool.name))
    }
}

impl<S: Sync> FromRequestParts<S> for Mount {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Takes the prefixes off a request's path, and puts what they say where it usually is. `keys_in_paths`: whether `/k/{key}`
/// counts.
pub(crate) fn take_off<B>(mut request: Request<B>, keys_in_paths: bool) -> Request<B> {
    let mut path = request.uri().path();
    let mut mount = Mount::default();
    let mut key = None;
    if keys_in_paths && let Some((text, rest)) = segment(path, "/k/") {
        (key, path) = (Some(text), rest);
    }
    if let Some((namespace, rest)) = segment(path, "/pools/")
        && let Some((name, rest)) = segment(rest, "/")
    {
        (mount.pool, path) = (Some(PoolKey::new(namespace, name)), rest);
    }
    if key.is_none() && mount.pool.is_none() {
        return request;
    }
    let key = key.and_then(|key| HeaderValue::try_from(format!("Bearer {key}")).ok());
    let rest = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(rest).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    if let Some(key) = key {
        request.headers_mut().insert(AUTHORIZATION, key);
    }
    request.extensions_mut().insert(mount);
    request
}

/// Splits `{prefix}{segment}/rest` into the segment and `/rest`; nothing if there is no rest.
fn segment<'a>(path: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let inside = path.strip_prefix(prefix)?;
    let end = inside.find('/').filter(|end| *end > 0)?;
    Some(inside.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_off(uri: &str, keys: bool) -> (String, Option<String>, String) {
        let request = take_off(Request::get(uri).body(()).unwrap(), keys);
        let key = request.headers().get(AUTHORIZATION).map(|key| key.to_str().unwrap().to_owned());
        let mount = request.extensions().get::<Mount>().cloned().unwrap_or_default();
        (request.uri().to_string(), key, mount.prefix())
    }

    #[test]
    fn pools_and_keys_are_taken_off_the_path() {
        let told = |uri: &str, key: Option<&str>, prefix: &str| {
            (uri.to_owned(), key.map(str::to_owned), prefix.to_owned())
        };
        for (uri, wanted) in [
            ("/v1/jobs?a=b", told("/v1/jobs?a=b", None, "")),
            ("/pools/studio/sd15/api/v2/jobs?a=b", told("/api/v2/jobs?a=b", None, "/pools/studio/sd15")),
            ("/k/ij_k/prompt", told("/prompt", Some("Bearer ij_k"), "")),
            ("/k/ij_k/pools/a/b/ws?clientId=c", told("/ws?clientId=c", Some("Bearer ij_k"), "/pools/a/b")),
            ("/pools/studio", told("/pools/studio", None, "")),
            ("/pools//sd15/prompt", told("/pools//sd15/prompt", None, "")),
            ("/k/", told("/k/", None, "")),
        ] {
            assert_eq!(taken_off(uri, true), wanted, "{uri}");
        }
        assert_eq!(taken_off("/k/ij_k/prompt", false), told("/k/ij_k/prompt", None, ""));
    }
}
