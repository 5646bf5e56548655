//! Whose servers a worker fetches from: those at public addresses, and in tests those of the test.

use std::{collections::BTreeSet, fmt, io, net::SocketAddr, sync::Arc};

use addresses::is_public;
use futures::future::BoxFuture;
use reqwest::{
    Certificate,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Finds the addresses of a host by its name. A port of 0 stands for the one of the URL.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// What is trusted beside the public internet. Workers trust nothing else ([`Trust::default`]); tests have their servers
/// on loopback, with certificates of their own.
#[derive(Clone)]
pub struct Trust {
    pub(super) loopback: BTreeSet<SocketAddr>,
    pub(super) roots: Vec<Certificate>,
    lookup: Lookup,
}

/// A host that has an address which is not public.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0} has an address that is not public")]
pub(super) struct NotPublic(pub(super) String);

impl Default for Trust {
    fn default() -> Self {
        let lookup: Lookup =
            Arc::new(|host| Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) }));
        Self { loopback: BTreeSet::new(), roots: Vec::new(), lookup }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("loopback", &self.loopback).finish_non_exhaustive()
    }
}

impl Trust {
    /// For tests: servers at these addresses, with certificates that `root` has signed (PEM), found by `lookup`. An
    /// address that is not on loopback stays untrusted.
    ///
    /// # Errors
    /// When `root` is no certificate.
    pub fn in_tests(
        servers: impl IntoIterator<Item = SocketAddr>,
        root: &[u8],
        lookup: Lookup,
    ) -> reqwest::Result<Self> {
        let loopback = servers.into_iter().filter(|server| server.ip().is_loopback()).collect();
        Ok(Self { loopback, roots: vec![Certificate::from_pem(root)?], lookup })
    }

    /// Every address of a host, if all of them are public: a host with a private one beside them is up to something.
    async fn addresses(
        &self,
        host: String,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let addresses = (self.lookup)(host.clone()).await?;
        if addresses.iter().any(|address| !is_public(address.ip()) && !self.loopback.contains(address)) {
            return Err(NotPublic(host).into());
        }
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
        }
        Ok(addresses)
    }
}

/// The connection goes to one of the addresses that were looked at, as nothing else looks the name up.
impl Resolve for Trust {
    fn resolve(&self, name: Name) -> Resolving {
        let trust = self.clone();
        Box::pin(async move {
            let addresses = trust.addresses(name.as_str().to_owned()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
