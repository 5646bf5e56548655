//! Where a request carries its key. Clients differ: some can set one header only.

use axum::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use base64::{Engine as _, engine::general_purpose::STANDARD};

const X_API_KEY: &str = "x-api-key";

/// The key in a request's headers. An `Authorization` without anything behind it counts as none: some clients send that
/// when their user gave no key.
///
/// - `Authorization: Bearer KEY`
/// - `Authorization: KEY` (RunPod's clients)
/// - `Authorization: Basic base64(USER:KEY)` (A1111's clients)
/// - `X-API-Key: KEY` (Comfy's clients)
pub(crate) fn key_in(headers: &HeaderMap) -> Option<String> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::trim).map(str::to_owned);
    let authorization = headers.get(AUTHORIZATION).and_then(text).and_then(|value| in_authorization(&value));
    authorization.or_else(|| headers.get(X_API_KEY).and_then(text)).filter(|key| !key.is_empty())
}

/// Whether a client that follows a redirect to another host leaves its key behind: clients drop `Authorization` then, and pass
/// `X-API-Key` on.
pub(crate) fn stays_on_redirect(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) && !headers.contains_key(X_API_KEY)
}

fn in_authorization(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let key = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => rest.trim().to_owned(),
        "basic" => {
            let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            text.split_once(':').map(|(_user, key)| key.trim().to_owned())?
        }
        _ if rest.is_empty() => value.to_owned(),
        _ => return None,
    };
    Some(key).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(headers: &[(&'static str, &'static str)]) -> Option<String> {
        key_in(
            &headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect(),
        )
    }

    #[test]
    fn every_client_has_its_way() {
        for header in [
            ("authorization", "Bearer ij_k"),
            ("authorization", "bearer  ij_k "),
            ("authorization", "ij_k"),
            ("authorization", "Basic dXNlcjppal9r"),
            ("authorization", "Basic OmlqX2s="),
            ("x-api-key", " ij_k"),
        ] {
            assert_eq!(key(&[header]).as_deref(), Some("ij_k"), "{header:?}");
        }
    }

    #[test]
    fn nothing_behind_the_header_is_no_key() {
        for value in ["", " ", "Bearer", "Bearer ", "Basic", "Basic !", "Basic dXNlcjo=", "Digest a=b"] {
            assert_eq!(key(&[("authorization", value)]), None, "{value:?}");
        }
        assert_eq!(key(&[("authorization", "Bearer "), ("x-api-key", "ij_k")]).as_deref(), Some("ij_k"));
    }
}
