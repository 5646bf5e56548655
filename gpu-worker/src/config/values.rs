//! How the values of flags and variables are read: without white space at the ends, and refused with a word on why.

use std::{ffi::OsString, net::SocketAddr};

use clap::builder::{OsStringValueParser, TypedValueParser};
use reqwest::Url;

use super::{Given, Secret};

/// A text that may be empty.
pub(super) fn text() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|value: OsString| {
        let value = value.into_string().map_err(|_| "it is not UTF-8")?;
        let value = value.trim();
        if value.contains(char::is_control) {
            return Err("it has a line break or a control character in it");
        }
        Ok(value.to_owned())
    })
}

/// A text without white space.
pub(super) fn word() -> impl TypedValueParser<Value = String> {
    text().try_map(|value| match value.contains(char::is_whitespace) {
        true => Err("it has white space in it"),
        false if value.is_empty() => Err("it is empty"),
        false => Ok(value),
    })
}

pub(super) fn optional() -> impl TypedValueParser<Value = Given> {
    text().map(|value| Given(Some(value).filter(|value| !value.is_empty())))
}

/// What must not be repeated in the words on it; whoever uses it checks it.
pub(super) fn secret() -> impl TypedValueParser<Value = Secret> {
    OsStringValueParser::new().map(|value: OsString| Secret(value.to_string_lossy().trim().to_owned()))
}

pub(super) fn pool(text: String) -> Result<String, &'static str> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(text)
        }
        _ => Err("expected NAMESPACE/NAME, as in studio/sd15"),
    }
}

/// It stands in the headers of what is uploaded.
pub(super) fn id(id: Given) -> Result<Given, &'static str> {
    match &id {
        Given(Some(id)) if !id.chars().all(|character| character.is_ascii_graphic()) => {
            Err("expected a name of ASCII characters without white space")
        }
        _ => Ok(id),
    }
}

pub(super) fn http(text: &str) -> Result<Url, &'static str> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err("expected http://host:port, as in http://127.0.0.1:8188"),
    }
}

pub(super) fn web(text: Given) -> Result<Given, &'static str> {
    let Given(Some(value)) = &text else { return Ok(text) };
    match Url::parse(value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && !value.contains(' ') => {
            Ok(text)
        }
        _ => Err("expected http://host or https://host, as in https://cdn.example.com"),
    }
}

pub(super) fn switch(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "expected true or false")
}

pub(super) fn mebibytes(text: &str) -> Result<u32, &'static str> {
    text.parse()
        .ok()
        .filter(|mebibytes| (1..=1 << 20).contains(mebibytes))
        .ok_or("expected a number of MiB, as in 192")
}

pub(super) fn seconds(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "expected a number of seconds")
}

pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected address:port to listen on, as in 0.0.0.0:9090")
}
