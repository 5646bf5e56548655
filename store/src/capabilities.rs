//! Finds out what a server of the S3 protocol supports. Many servers support less than S3, and some of them do not
//! report it.

use std::fmt;

use bytes::Bytes;

use crate::{Error, Result, Store, bucket::Body};

/// The name of the object that a probe writes.
const PROBE: &str = ".probe";
/// The content of that object; some servers refuse objects without content.
const CONTENT: &[u8] = b"ok";
const TYPE: &str = "text/plain";

/// What the bucket's server supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// How the server handles a write that must not overwrite an object.
    pub conditions: Conditions,
    /// Whether the server accepts checksums of what is written.
    pub checksums: bool,
}

/// How a server handles a write that must not overwrite an object (`If-None-Match: *`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// The server refuses the write if the object exists.
    Kept,
    /// The server ignores the condition and overwrites the object.
    Ignored,
    /// The server refuses every such write.
    Unsupported,
}

impl Default for Capabilities {
    /// What S3 itself supports.
    fn default() -> Self {
        Self { conditions: Conditions::Kept, checksums: true }
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Ignored => "ignored",
            Self::Unsupported => "unsupported",
        })
    }
}

impl Store {
    /// What the server supports, as the last [`probe`](Self::probe) found.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        *self.capabilities.borrow()
    }

    /// Writes a small object, `{prefix}.probe`, to find out whether we may write to the bucket and what its server
    /// supports. The result applies to all later writes of this store and its clones.
    ///
    /// # Errors
    /// If the bucket can't be reached, does not exist, or refuses the write.
    pub async fn probe(&self) -> Result<Capabilities> {
        self.check().await?;
        let mut answer = None;
        for checksums in [true, false] {
            for conditions in [Conditions::Kept, Conditions::Unsupported] {
                let capabilities = Capabilities { conditions, checksums };
                let error = match self.put_probe(capabilities).await {
                    Ok(()) => return self.probe_again(capabilities).await,
                    // An earlier probe wrote the object.
                    Err(Error::Exists { .. }) => return Ok(self.remember(capabilities)),
                    Err(error) => error,
                };
                if !matches!(error, Error::Unsupported { .. } | Error::Unexpected { .. }) {
                    return Err(error);
                }
                // The first request is like any request to S3, so its error says most.
                answer.get_or_insert(error);
            }
        }
        Err(answer.unwrap_or_else(|| Error::Config { what: "the bucket was not probed".into() }))
    }

    /// Writes the probe a second time, to find out whether the server overwrites it.
    async fn probe_again(&self, capabilities: Capabilities) -> Result<Capabilities> {
        if capabilities.conditions == Conditions::Kept {
            match self.put_probe(capabilities).await {
                Ok(()) => {
                    return Ok(
                        self.remember(Capabilities { conditions: Conditions::Ignored, ..capabilities })
                    );
                }
                Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.remember(capabilities))
    }

    async fn put_probe(&self, capabilities: Capabilities) -> Result<()> {
        let key = format!("{}{PROBE}", self.output.key_prefix);
        let body = Body {
            content: Bytes::from_static(CONTENT).into(),
            content_type: TYPE.into(),
            cache: "no-store",
        };
        let only_new = capabilities.conditions == Conditions::Kept;
        self.put(&key, body, Default::default(), only_new, capabilities).await.map(drop)
    }

    fn remember(&self, capabilities: Capabilities) -> Capabilities {
        self.capabilities.send_replace(capabilities);
        capabilities
    }
}
