//! Who asks: the key that a request carries, and whose it is.

mod carrier;
mod issuer;
mod key;
mod store;

use std::sync::Arc;

use axum::http::HeaderMap;
use jiff::Timestamp;

pub(crate) use carrier::{key_in, stays_on_redirect, with_token};
pub(crate) use issuer::{Issuer, run};
pub(crate) use key::{ApiKey, Hash, NewKey, Rights, hash, to_hex};
pub(crate) use store::KeyStore;

use issuer::{Bearer, is_token};

use crate::{
    cache::{Cache, Tenant},
    error::Error,
};

/// Somebody with a key of a tenant.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: Arc<Tenant>,
    /// Of a bearer token: what stands for its subject.
    pub(crate) key: Arc<ApiKey>,
    /// When the bearer token ends; `None` of an API key, which counts until it is revoked.
    pub(crate) until: Option<Timestamp>,
}

impl Caller {
    /// May the key change anything?
    pub(crate) fn may_write(&self) -> Result<(), Error> {
        match self.key.rights {
            Rights::ReadOnly => Err(Error::Forbidden("this API key may only read".to_owned())),
            Rights::Use | Rights::Admin => Ok(()),
        }
    }
}

/// The caller of a request for a tenant's things.
pub(crate) fn caller(cache: &Cache, issuer: Option<&Issuer>, headers: &HeaderMap) -> Result<Caller, Error> {
    let text = key_in(headers).ok_or(Error::NoKey)?;
    if let Some(issuer) = issuer.filter(|_| is_token(&text)) {
        let Bearer { key, until } = issuer.check(&text)?;
        let named = key.tenant.as_deref().unwrap_or_default();
        let tenant = cache.tenants.get(named).filter(|tenant| !tenant.spec.disabled);
        let tenant = tenant.ok_or_else(|| Error::BadToken(format!("there is no tenant {named:?}")))?;
        return Ok(Caller { tenant, key: Arc::new(key), until: Some(until) });
    }
    let key = known_key(cache, &text)?;
    let Some(tenant) = &key.tenant else {
        return Err(Error::Forbidden(
            "this is an administrator's key, which has no jobs; use a tenant's".to_owned(),
        ));
    };
    // A tenant that is gone or disabled takes its keys along.
    let tenant = cache.tenants.get(tenant).filter(|tenant| !tenant.spec.disabled).ok_or(Error::BadKey)?;
    Ok(Caller { tenant, key, until: None })
}

/// Whether the request comes from an administrator.
pub(crate) fn admin(cache: &Cache, headers: &HeaderMap) -> Result<Arc<ApiKey>, Error> {
    let key = known_key(cache, &key_in(headers).ok_or(Error::NoKey)?)?;
    match key.rights {
        Rights::Admin => Ok(key),
        Rights::Use | Rights::ReadOnly => {
            Err(Error::Forbidden("this needs an administrator's key".to_owned()))
        }
    }
}

fn known_key(cache: &Cache, text: &str) -> Result<Arc<ApiKey>, Error> {
    cache.keys.get(&hash(text)).ok_or(Error::BadKey)
}
