//! Who asks: the key that a request carries, and whose it is.

mod carrier;
mod key;
mod store;

use std::sync::Arc;

use axum::http::HeaderMap;

pub(crate) use carrier::{key_in, stays_on_redirect};
pub(crate) use key::{ApiKey, Hash, NewKey, Rights, hash, to_hex};
pub(crate) use store::KeyStore;

use crate::{
    cache::{Cache, Tenant},
    error::Error,
};

/// Somebody with a key of a tenant.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) key: Arc<ApiKey>,
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
pub(crate) fn caller(cache: &Cache, headers: &HeaderMap) -> Result<Caller, Error> {
    let key = known_key(cache, headers)?;
    let Some(tenant) = &key.tenant else {
        return Err(Error::Forbidden(
            "this is an administrator's key, which has no jobs; use a tenant's".to_owned(),
        ));
    };
    // A tenant that is gone or disabled takes its keys along.
    let tenant = cache.tenants.get(tenant).filter(|tenant| !tenant.spec.disabled).ok_or(Error::BadKey)?;
    Ok(Caller { tenant, key })
}

/// Whether the request comes from an administrator.
pub(crate) fn admin(cache: &Cache, headers: &HeaderMap) -> Result<Arc<ApiKey>, Error> {
    let key = known_key(cache, headers)?;
    match key.rights {
        Rights::Admin => Ok(key),
        Rights::Use | Rights::ReadOnly => {
            Err(Error::Forbidden("this needs an administrator's key".to_owned()))
        }
    }
}

fn known_key(cache: &Cache, headers: &HeaderMap) -> Result<Arc<ApiKey>, Error> {
    let text = key_in(headers).ok_or(Error::NoKey)?;
    cache.keys.get(&hash(&text)).ok_or(Error::BadKey)
}
