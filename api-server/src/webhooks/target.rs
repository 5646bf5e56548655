//! Where a webhook may be sent: to public addresses, and to networks that the administrator allows. Nothing is sent before
//! every address of the host was looked at, and the connection goes to one of those.

use std::net::{IpAddr, SocketAddr};

use addresses::{is_public, literal};
use reqwest::Url;

/// A network, e.g. `10.96.0.0/12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no network; write it as 10.96.0.0/12");
        let (address, length) = text.trim().split_once('/').ok_or_else(bad)?;
        let (address, length): (IpAddr, u8) =
            (address.parse().map_err(|_| bad())?, length.parse().map_err(|_| bad())?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        if length <= most { Ok(Self { address, length }) } else { Err(bad()) }
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| {
            let shift = bits - u32::from(self.length);
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// A URL, and the addresses of its host.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) host: String,
    pub(super) addresses: Vec<SocketAddr>,
}

/// Ports that a receiver on the internet may have.
const PORTS: [u16; 2] = [80, 443];

/// Looks at a URL, and at where its host is.
///
/// # Errors
/// Why nothing is sent there, for people.
pub(super) async fn target(url: &str, allowed: &[Network]) -> Result<Target, String> {
    let url = Url::parse(url.trim()).map_err(|error| format!("the URL can't be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the URL begins with {}:, and only http and https are used", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL carries a user name or a password, which is not sent".to_owned());
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
    let port = url.port_or_known_default().unwrap_or_default();
    let addresses = match literal(&host) {
        Some(address) => vec![SocketAddr::new(address, port)],
        None => {
            let found = tokio::net::lookup_host((host.as_str(), port)).await;
            found.map_err(|error| format!("{host} has no address: {error}"))?.collect()
        }
    };
    if addresses.is_empty() {
        return Err(format!("{host} has no address"));
    }
    let is_allowed = |address: &SocketAddr| allowed.iter().any(|network| network.has(address.ip()));
    // A host with a private address beside public ones is up to something.
    if addresses.iter().any(|address| !is_public(address.ip()) && !is_allowed(address)) {
        return Err(format!("{host} is not a public address"));
    }
    if !PORTS.contains(&port) && !addresses.iter().all(is_allowed) {
        return Err(format!("the URL names port {port}, and only 80 and 443 are used"));
    }
    Ok(Target { url, host, addresses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_public_addresses_and_allowed_networks_are_sent_to() {
        let cluster: Vec<Network> = vec!["10.96.0.0/12".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (url, allowed) in [
            ("https://1.1.1.1/hook", true),
            ("http://1.1.1.1/hook", true),
            ("http://10.100.3.4:8080/hook", true),
            ("http://[fd12::1]:8080/hook", true),
            ("https://1.1.1.1:8443/hook", false),
            ("http://10.0.0.1/hook", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://[::1]/", false),
            ("http://[::ffff:169.254.169.254]/", false),
            ("http://2130706433/", false),
            ("http://localhost/", false),
            ("https://user:word@1.1.1.1/", false),
            ("ftp://1.1.1.1/", false),
            ("no url", false),
        ] {
            let found = target(url, &cluster).await;
            assert_eq!(found.is_ok(), allowed, "{url}: {found:?}");
        }
        assert!("10.0.0.0/33".parse::<Network>().is_err() && "10.0.0.0".parse::<Network>().is_err());
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(target("http://127.0.0.1:9/", &[all]).await.is_ok());
    }
}
