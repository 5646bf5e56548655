//! Cleans credentials so that a request can carry them.
//!
//! The SDK puts an access key id and a session token into HTTP headers and panics if they contain an invalid character.
//! Keys come from Secrets, files and programs, often with the line break that `echo` appends.

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};

use crate::{Error, Result};

/// Keys that are given directly and replace those of the environment.
#[derive(Clone)]
pub struct Keys {
    /// The value of AWS_ACCESS_KEY_ID.
    pub access_key_id: String,
    /// The value of AWS_SECRET_ACCESS_KEY.
    pub secret_access_key: String,
    /// The value of AWS_SESSION_TOKEN.
    pub session_token: Option<String>,
}

impl Keys {
    /// A provider of these keys for the SDK.
    pub(crate) fn provider(self) -> Result<SharedCredentialsProvider> {
        let Self { access_key_id, secret_access_key, session_token } = self;
        let given = Credentials::new(access_key_id, secret_access_key, session_token, None, "given");
        match clean(&given) {
            Ok(keys) => Ok(SharedCredentialsProvider::new(keys)),
            Err(what) => Err(Error::Config { what }),
        }
    }
}

/// A provider that removes white space around the keys of another provider, and refuses invalid ones.
#[derive(Debug)]
pub(crate) struct Clean(pub(crate) SharedCredentialsProvider);

impl ProvideCredentials for Clean {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.0.fallback_on_interrupt().and_then(|found| clean(&found).ok())
    }
}

impl Clean {
    async fn provide(&self) -> provider::Result {
        clean(&self.0.provide_credentials().await?).map_err(CredentialsError::invalid_configuration)
    }
}

fn clean(found: &Credentials) -> std::result::Result<Credentials, String> {
    let mut clean = Credentials::builder()
        .access_key_id(header("AWS_ACCESS_KEY_ID", found.access_key_id())?)
        .secret_access_key(found.secret_access_key().trim())
        .provider_name("cleaned");
    if let Some(token) = found.session_token().map(str::trim).filter(|token| !token.is_empty()) {
        clean = clean.session_token(header("AWS_SESSION_TOKEN", token)?);
    }
    clean.set_expiry(found.expiry());
    clean.set_account_id(found.account_id().cloned());
    Ok(clean.build())
}

fn header<'a>(name: &str, value: &'a str) -> std::result::Result<&'a str, String> {
    let value = value.trim();
    match value.chars().position(|character| !character.is_ascii_graphic()) {
        None if value.is_empty() => Err(format!("{name} is empty")),
        None => Ok(value),
        Some(at) => Err(format!(
            "{name} contains a character that no key may contain (a space, a line break or a non-ASCII character), at position {}: \
             write the key again",
            at + 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::clean;

    fn keys(id: &str, secret: &str, token: Option<&str>) -> Credentials {
        Credentials::new(id, secret, token.map(str::to_owned), None, "test")
    }

    #[test]
    fn white_space_around_keys_does_no_harm() {
        let clean =
            clean(&keys(" AKIDEXAMPLE\r\n", "\tsecret/with+signs=\n", Some("token\n"))).expect("clean");
        assert_eq!((clean.access_key_id(), clean.secret_access_key()), ("AKIDEXAMPLE", "secret/with+signs="));
        assert_eq!(clean.session_token(), Some("token"));
        let without = super::clean(&keys("AKIDEXAMPLE", "secret", Some("\n"))).expect("clean");
        assert_eq!(without.session_token(), None);
    }

    #[test]
    fn what_no_header_can_carry_is_refused_by_name() {
        for (id, token, name) in [
            ("AKID\nEXAMPLE", None, "AWS_ACCESS_KEY_ID"),
            ("AKIDEXÄMPLE", None, "AWS_ACCESS_KEY_ID"),
            ("AKID EXAMPLE", None, "AWS_ACCESS_KEY_ID"),
            ("AKID\u{7f}EXAMPLE", None, "AWS_ACCESS_KEY_ID"),
            ("\n", None, "AWS_ACCESS_KEY_ID is empty"),
            ("AKIDEXAMPLE", Some("tok\u{0}en"), "AWS_SESSION_TOKEN"),
        ] {
            let error = clean(&keys(id, "secret", token)).expect_err("refused");
            assert!(error.contains(name) && !error.contains("EX"), "{error}");
        }
    }
}
