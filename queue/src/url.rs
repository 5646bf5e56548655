//! The URLs we accept, and what they point at.

use redis::{ConnectionInfo, IntoConnectionInfo};

use crate::{Error, Result};

/// Where a Redis is.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// One server.
    Single(Box<ConnectionInfo>),
    /// Some nodes of a Cluster; the others are found through them.
    Cluster(Vec<ConnectionInfo>),
    /// Sentinels who know the primary. `node` carries the scheme, user and database of the primary itself.
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String, node: Box<ConnectionInfo> },
}

impl Target {
    /// Reads one of
    /// - `redis[s]://[user[:password]@]host[:port][/db]`
    /// - `redis[s]-cluster://[user[:password]@]host[:port],host[:port]…`
    /// - `redis[s]-sentinel://[user[:password]@]host[:port],…/service[/db][?sentinel=[user]:password]`
    ///
    /// Without `?sentinel=` the Sentinels are asked without credentials.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("no scheme such as redis://"))?;
        let (tls, kind) = match scheme.split_once('-').unwrap_or((scheme, "")) {
            ("redis", kind) => ("redis", kind),
            ("rediss", kind) => ("rediss", kind),
            _ => return Err(bad(&format!("unknown scheme {scheme:?}"))),
        };
        match kind {
            "" => Ok(Self::Single(Box::new(info(url)?))),
            "cluster" => {
                let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
                let (user, hosts) = split_user(authority);
                Ok(Self::Cluster(each(hosts, |host| info(&format!("{tls}://{user}{host}")))?))
            }
            "sentinel" => {
                let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let (user, hosts) = split_user(authority);
                let (service, db) = path.split_once('/').unwrap_or((path, "0"));
                if service.is_empty() {
                    return Err(bad("a Sentinel URL ends with /name-of-the-service"));
                }
                let sentinel_user =
                    query.strip_prefix("sentinel=").map_or(String::new(), |user| format!("{user}@"));
                Ok(Self::Sentinel {
                    sentinels: each(hosts, |host| info(&format!("{tls}://{sentinel_user}{host}")))?,
                    service: service.to_owned(),
                    node: Box::new(info(&format!("{tls}://{user}primary/{db}"))?),
                })
            }
            other => Err(bad(&format!("redis-{other}:// is neither -cluster nor -sentinel"))),
        }
    }
}

/// `scheme://`, then `user:password@` or nothing, then the rest of a URL.
pub(crate) fn split(url: &str) -> Option<(&str, &str, &str)> {
    let scheme = url.find("://")? + "://".len();
    let authority = url[scheme..].find(['/', '?']).map_or(url.len(), |end| scheme + end);
    let user = url[scheme..authority].rfind('@').map_or(scheme, |at| scheme + at + 1);
    Some((&url[..scheme], &url[scheme..user], &url[user..]))
}

fn bad(why: &str) -> Error {
    Error::Url(why.to_owned())
}

/// The redis crate's message does not repeat the URL, which may hold a password.
fn info(url: &str) -> Result<ConnectionInfo> {
    url.into_connection_info().map_err(|error| bad(&error.to_string()))
}

/// `user:password@` (or nothing) and the hosts.
fn split_user(authority: &str) -> (&str, &str) {
    authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1))
}

fn each<T>(hosts: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    hosts.split(',').map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_single_server_keeps_user_and_database() {
        let Target::Single(info) = Target::parse("rediss://ann:s%40cret@cache.example:6380/2").unwrap()
        else {
            panic!("not a single server");
        };
        assert_eq!(info.addr().to_string(), "cache.example:6380");
        assert_eq!(info.redis_settings().username(), Some("ann"));
        assert_eq!(info.redis_settings().password(), Some("s@cret"));
        assert_eq!(info.redis_settings().db(), 2);
    }

    #[test]
    fn every_node_of_a_cluster_gets_the_user() {
        let Target::Cluster(nodes) = Target::parse("redis-cluster://ann:pw@a:7000,b:7001").unwrap() else {
            panic!("not a Cluster");
        };
        let seen: Vec<_> =
            nodes.iter().map(|n| (n.addr().to_string(), n.redis_settings().username())).collect();
        assert_eq!(seen, [("a:7000".into(), Some("ann")), ("b:7001".into(), Some("ann"))]);
    }

    #[test]
    fn sentinels_have_credentials_of_their_own() {
        let url = "redis-sentinel://ann:pw@a:26379,b:26379/main/3?sentinel=:other";
        let Target::Sentinel { sentinels, service, node } = Target::parse(url).unwrap() else {
            panic!("not a Sentinel");
        };
        assert_eq!((sentinels.len(), service.as_str()), (2, "main"));
        assert_eq!(sentinels[1].redis_settings().password(), Some("other"));
        assert_eq!((node.redis_settings().username(), node.redis_settings().db()), (Some("ann"), 3));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, why) in [
            ("localhost:6379", "no scheme"),
            ("http://:secret@h", "unknown scheme"),
            ("redis-ring://:secret@h", "neither"),
            ("redis-sentinel://:secret@h:1", "name-of-the-service"),
            ("redis://:secret@h/notanumber", ""),
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
