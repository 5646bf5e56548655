//! Who is signed in. A cookie says it: the key's name, until when, and a signature, never the key itself. Nothing is kept of
//! sessions, so any replica knows all of them, and a key that is revoked ends its sessions.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;

use crate::{
    app::App,
    auth::{ApiKey, Caller, Rights, hash, to_hex},
    error::Error,
};

const COOKIE: &str = "imagejob-session";
const PURPOSE: &str = "session";
/// A session counts for so long, in seconds.
const VALID_FOR: i64 = 12 * 3600;

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(crate) enum Viewer {
    /// Of a tenant.
    Tenant(Caller),
    /// An administrator, who has no jobs.
    Admin(Arc<ApiKey>),
}

impl Viewer {
    /// The holder of a key that is known, of a tenant that is.
    fn of(app: &App, key: Arc<ApiKey>) -> Option<Self> {
        let Some(tenant) = &key.tenant else { return Some(Self::Admin(key)) };
        let tenant = app.cache.tenants.get(tenant).filter(|tenant| !tenant.spec.disabled)?;
        Some(Self::Tenant(Caller { tenant, key, until: None }))
    }

    pub(crate) fn key(&self) -> &ApiKey {
        match self {
            Self::Tenant(caller) => &caller.key,
            Self::Admin(key) => key,
        }
    }

    /// Whether to show what changes something.
    pub(crate) fn may_write(&self) -> bool {
        matches!(self, Self::Tenant(caller) if caller.key.rights == Rights::Use)
    }
}

/// Who a request with this cookie comes from; `None`: nobody is signed in, or not any more.
pub(crate) async fn viewer(app: &App, headers: &HeaderMap) -> Result<Option<Viewer>, Error> {
    let Some((name, expires, signature)) = cookie(headers).and_then(parts) else { return Ok(None) };
    if expires < Timestamp::now().as_second() {
        return Ok(None);
    }
    let Some(key) = app.cache.keys.find(|key| key.name == name) else { return Ok(None) };
    if !app.signer.is_signed(PURPOSE, &signed_text(&key, expires), signature).await? {
        return Ok(None);
    }
    Ok(Viewer::of(app, key))
}

/// The tenant's caller who is signed in.
///
/// # Errors
/// [`Error::NoKey`] where nobody is; [`Error::Forbidden`] of an administrator.
pub(crate) async fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Error> {
    match viewer(app, headers).await? {
        Some(Viewer::Tenant(caller)) => Ok(caller),
        Some(Viewer::Admin(_)) => Err(Error::Forbidden(
            "you are signed in with an administrator's key, which has no jobs; sign in with a tenant's key"
                .to_owned(),
        )),
        None => Err(Error::NoKey),
    }
}

/// Begins a session of whoever has this key; returns its cookie.
///
/// # Errors
/// [`Error::BadKey`] of a key that nobody knows, or whose tenant is gone or disabled.
pub(crate) async fn begin(app: &App, text: &str) -> Result<HeaderValue, Error> {
    let key = app.cache.keys.get(&hash(text.trim())).ok_or(Error::BadKey)?;
    Viewer::of(app, Arc::clone(&key)).ok_or(Error::BadKey)?;
    let expires = Timestamp::now().as_second() + VALID_FOR;
    let signature = app.signer.sign(PURPOSE, &signed_text(&key, expires)).await?;
    set_cookie(app, &format!("{}~{expires}~{signature}", key.name), VALID_FOR)
}

/// The cookie that ends a session.
pub(crate) fn end(app: &App) -> Result<HeaderValue, Error> {
    set_cookie(app, "", 0)
}

fn set_cookie(app: &App, value: &str, seconds: i64) -> Result<HeaderValue, Error> {
    let secure = if app.public_url.starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(cookie).map_err(|error| Error::Internal(error.to_string()))
}

/// Another key that gets the name of this one is not signed in by it.
fn signed_text(key: &ApiKey, expires: i64) -> String {
    format!("{}/{}/{expires}", key.name, to_hex(&key.hash))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

fn parts(cookie: &str) -> Option<(&str, i64, &str)> {
    let mut parts = cookie.split('~');
    let (name, expires, signature) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    parts.next().is_none().then_some((name, expires, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_read_whole_only() {
        let headers =
            |text: &'static str| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(text))]);
        let read = |text| {
            cookie(&headers(text))
                .and_then(parts)
                .map(|(name, expires, sig)| (name.to_owned(), expires, sig.to_owned()))
        };
        assert_eq!(read("a=b; imagejob-session=web.x~7~s; c=d"), Some(("web.x".into(), 7, "s".into())));
        for other in [
            "",
            "a=b",
            "imagejob-session=",
            "imagejob-session=web~x~s",
            "imagejob-session=web~7",
            "imagejob-session=w~7~s~t",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
