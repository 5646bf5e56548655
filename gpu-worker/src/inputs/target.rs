//! A URL that may be fetched, checked before anything is sent to anyone.

use addresses::{is_public, literal};
use reqwest::Url;

use super::error::Why;

/// The one port of HTTPS. Others are other services.
const PORT: u16 = 443;

/// A URL on a host that the pool allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: Url,
    /// As it is compared and shown.
    pub(super) host: String,
}

impl Target {
    /// What the job says.
    pub(super) fn parse(url: &str, hosts: &[String]) -> Result<Self, Why> {
        let url = Url::parse(url.trim()).map_err(|error| Why::BadUrl(error.to_string()))?;
        Self::check(url, hosts)
    }

    /// What a server redirects to.
    pub(super) fn redirected(&self, location: &str, hosts: &[String]) -> Result<Self, Why> {
        let url = self.url.join(location).map_err(|error| Why::BadUrl(error.to_string()));
        url.and_then(|url| Self::check(url, hosts)).map_err(|why| Why::Redirected(Box::new(why)))
    }

    /// The parser has made one form of every other: lower case, Punycode, and addresses of decimal, octal and
    /// hexadecimal numbers in dotted form.
    fn check(mut url: Url, hosts: &[String]) -> Result<Self, Why> {
        if url.scheme() != "https" {
            return Err(Why::NotHttps(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Why::Credentials);
        }
        if let Some(port) = url.port_or_known_default().filter(|port| *port != PORT) {
            return Err(Why::Port(port));
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        if !hosts.iter().any(|allowed| allows(allowed, &host)) {
            return Err(Why::HostNotAllowed { host, allowed: hosts.to_vec() });
        }
        // No resolver is asked for a host that is an address.
        if literal(&host).is_some_and(|address| !is_public(address)) {
            return Err(Why::NotPublic(host));
        }
        // Without the point at its end, as certificates have it.
        url.set_host(Some(&host)).map_err(|error| Why::BadUrl(error.to_string()))?;
        url.set_fragment(None);
        Ok(Self { url, host })
    }
}

/// `allowed` is a name, or `*.` and a name for all those below it.
fn allows(allowed: &str, host: &str) -> bool {
    let name = |name: &str| {
        let url = Url::parse(&format!("https://{}/", name.trim())).ok()?;
        let is_bare = url.path() == "/" && url.port().is_none() && url.username().is_empty();
        let name = url.host_str()?.trim_end_matches('.').to_owned();
        (is_bare && !name.is_empty()).then_some(name)
    };
    match allowed.trim().strip_prefix("*.") {
        Some(parent) => {
            let below = |parent: String| host.strip_suffix(&parent).is_some_and(|rest| rest.ends_with('.'));
            literal(host).is_none() && name(parent).is_some_and(below)
        }
        None => name(allowed).is_some_and(|name| name == host),
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    fn check(url: &str, hosts: &[&str]) -> Result<String, String> {
        let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
        match Target::parse(url, &hosts) {
            Ok(Target { url, .. }) => Ok(url.to_string()),
            Err(why) => Err(why.to_string()),
        }
    }

    #[test]
    fn a_host_is_allowed_in_whatever_form_it_is_written() {
        let table = [
            ("https://files.example.com/a.png", "files.example.com", "https://files.example.com/a.png"),
            ("HTTPS://FILES.Example.COM/a", "files.example.com", "https://files.example.com/a"),
            ("https://files.example.com./a", "files.example.com", "https://files.example.com/a"),
            ("https://files.example.com/a", "Files.Example.com.", "https://files.example.com/a"),
            ("https://files.example.com:443/a?b=c#d", "*.example.com", "https://files.example.com/a?b=c"),
            ("https://a.b.example.com/", "*.example.com", "https://a.b.example.com/"),
            ("https://ｆｉｌｅｓ.example.com/", "files.example.com", "https://files.example.com/"),
            ("https://bücher.example/", "bücher.example", "https://xn--bcher-kva.example/"),
            ("https://bücher.example/", "xn--bcher-kva.example", "https://xn--bcher-kva.example/"),
            ("https://1.1.1.1/", "1.1.1.1", "https://1.1.1.1/"),
        ];
        for (url, host, expected) in table {
            assert_eq!(check(url, &[host]).as_deref(), Ok(expected), "{url} by {host}");
        }
    }

    #[test]
    fn any_other_host_is_refused_and_the_message_names_those_that_are_allowed() {
        let table = [
            ("https://evil.example/", "files.example.com"),
            ("https://example.com/", "*.example.com"),
            ("https://notexample.com/", "*.example.com"),
            ("https://files.example.com.evil.example/", "files.example.com"),
            ("https://files.example.com/", "*"),
            ("https://files.example.com/", "*."),
            ("https://files.example.com/", ""),
            ("https://files.example.com/", "files.example.com/a"),
            ("https://files.example.com/", "files.example.com:8443"),
            ("https://filеs.example.com/", "files.example.com"), // the second e is Cyrillic
            ("https://1.1.1.1/", "*.1.1.1"),
        ];
        for (url, host) in table {
            let error = check(url, &[host]).expect_err(url);
            assert!(error.contains("does not allow the host"), "{url} by {host}: {error}");
        }
        assert_eq!(
            check("https://evil.example/a", &["a.example", "*.b.example"]),
            Err("the pool does not allow the host evil.example; it allows a.example, *.b.example".into())
        );
        assert_eq!(check("https://a.example/", &[]), Err("the pool allows no URLs".into()));
    }

    #[test]
    fn an_address_that_is_not_public_is_refused_in_all_its_forms_even_where_the_pool_allows_it() {
        let forms = [
            ("https://127.0.0.1/", "127.0.0.1"),
            ("https://2130706433/", "127.0.0.1"),
            ("https://0x7f000001/", "127.0.0.1"),
            ("https://0x7f.1/", "127.0.0.1"),
            ("https://0177.0.0.1/", "127.0.0.1"),
            ("https://017700000001/", "127.0.0.1"),
            ("https://127.1/", "127.0.0.1"),
            ("https://１２７.0.0.1/", "127.0.0.1"),
            ("https://127.0.0.1./", "127.0.0.1"),
            ("https://0/", "0.0.0.0"),
            ("https://169.254.169.254/latest/meta-data", "169.254.169.254"),
            ("https://0xa9fea9fe/", "169.254.169.254"),
            ("https://[::1]/", "[::1]"),
            ("https://[0:0:0:0:0:0:0:1]/", "[::1]"),
            ("https://[::ffff:127.0.0.1]/", "[::ffff:7f00:1]"),
            ("https://[::ffff:a9fe:a9fe]/", "[::ffff:a9fe:a9fe]"),
            ("https://[64:ff9b::7f00:1]/", "[64:ff9b::7f00:1]"),
            ("https://[fd00:ec2::254]/", "[fd00:ec2::254]"),
        ];
        for (url, host) in forms {
            let refused = format!("{host} is not a public address");
            assert_eq!(check(url, &[host]), Err(refused), "{url}");
            let error = check(url, &["files.example.com", "*.0.0.1"]).expect_err(url);
            assert!(error.contains(&format!("does not allow the host {host}")), "{url}: {error}");
        }
    }

    #[test]
    fn what_is_no_plain_https_url_is_refused_with_what_is_wrong() {
        let table = [
            ("http://files.example.com/a", "its URL begins with http:, and only https: is fetched"),
            ("file:///etc/passwd", "its URL begins with file:, and only https: is fetched"),
            ("ftp://files.example.com/a", "its URL begins with ftp:, and only https: is fetched"),
            ("data:image/png;base64,AAAA", "its URL begins with data:, and only https: is fetched"),
            (
                "https://u:p@files.example.com/",
                "its URL carries a user name or a password, which is not sent",
            ),
            ("https://u@files.example.com/", "its URL carries a user name or a password, which is not sent"),
            ("https://files.example.com:8443/", "its URL names port 8443, and only 443 is used"),
            ("https://files.example.com:22/", "its URL names port 22, and only 443 is used"),
            ("files.example.com/a", "its URL can't be read: relative URL without a base"),
            ("https://", "its URL can't be read: empty host"),
            ("https://a b/", "its URL can't be read: invalid international domain name"),
        ];
        for (url, expected) in table {
            assert_eq!(check(url, &["files.example.com"]), Err(expected.into()), "{url}");
        }
    }
}
