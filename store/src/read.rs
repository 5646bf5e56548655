//! Objects for readers: in pieces, from anywhere in the file, or by a URL that others may use for a while.

use std::{ops::RangeInclusive, time::Duration};

use aws_sdk_s3::{presigning::PresigningConfig, primitives::ByteStream};
use bytes::Bytes;

use crate::{Error, Result, Store, bucket::unquoted};

/// An object that is being read.
#[derive(Debug)]
pub struct Reading {
    /// The entity tag that the server gives to the content, without quotes.
    pub etag: String,
    /// The object's media type; empty if it has none.
    pub media_type: String,
    /// The size of the whole object, in bytes.
    pub size: u64,
    /// The number of bytes that follow.
    pub length: u64,
    body: ByteStream,
}

impl Reading {
    /// The next piece of the content; `None` at its end.
    ///
    /// # Errors
    /// If the content breaks off.
    pub async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        self.body.try_next().await.map_err(std::io::Error::other)
    }
}

impl Store {
    /// Begins to read an object: all of it, or the bytes of a range, which the server may cut at the object's end.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::Range`] if it ends before the range.
    pub async fn read(&self, key: &str, range: Option<RangeInclusive<u64>>) -> Result<Reading> {
        let range = range.map(|range| format!("bytes={}-{}", range.start(), range.end()));
        let get = self.client.get_object().bucket(&self.output.bucket).key(key).set_range(range);
        let object = Box::pin(get.send()).await.map_err(|error| Error::from_sdk(self.place(key), &error))?;
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        let length = number(object.content_length).unwrap_or_default();
        // `bytes 0-99/1234`
        let all = object.content_range.as_deref().and_then(|range| range.rsplit('/').next()?.parse().ok());
        Ok(Reading {
            etag: unquoted(object.e_tag.as_deref()),
            media_type: object.content_type.unwrap_or_default(),
            size: all.unwrap_or(length),
            length,
            body: object.body,
        })
    }

    /// A URL by which anybody can get an object for a while, without credentials. `ttl`: up to a week.
    ///
    /// # Errors
    /// If there are no credentials to sign it with.
    pub async fn presign(&self, key: &str, ttl: Duration) -> Result<String> {
        let unexpected = |cause: String| Error::Unexpected { at: self.place(key), cause };
        let config = PresigningConfig::expires_in(ttl).map_err(|error| unexpected(error.to_string()))?;
        let get = self.client.get_object().bucket(&self.output.bucket).key(key);
        let signed = Box::pin(get.presigned(config))
            .await
            .map_err(|error| Error::from_sdk(self.place(key), &error))?;
        Ok(signed.uri().to_owned())
    }
}
