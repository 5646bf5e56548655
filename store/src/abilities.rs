//! What a server of the S3 protocol can do. Not all can what S3 can, and some do not say so.

use std::fmt;

use bytes::Bytes;

use crate::{Error, Result, Store, bucket::Body};

/// The object that is written to find out.
const PROBE: &str = ".probe";
/// It says nothing; but some servers refuse objects without content.
const CONTENT: &[u8] = b"ok";
const TYPE: &str = "text/plain";

/// What the bucket's server can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Whether it writes an object only where there is none, if asked to.
    pub conditions: Conditions,
    /// It takes checksums of what is sent.
    pub checksums: bool,
}

/// What becomes of a write that is to happen only where there is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// It is refused where there is one.
    Kept,
    /// It overwrites.
    Ignored,
    /// It is refused always.
    Unsupported,
}

impl Default for Abilities {
    /// Those of S3.
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
    /// What the server can do, as [`probe`](Self::probe) found out last.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        *self.abilities.borrow()
    }

    /// Writes a small object, `{prefix}.probe`, to see whether the bucket takes pictures from us, and how. What is found
    /// out counts for all later writes of this store and its clones.
    ///
    /// # Errors
    /// When the bucket can't be reached, does not exist, or does not let us write.
    pub async fn probe(&self) -> Result<Abilities> {
        self.check().await?;
        let mut answer = None;
        for checksums in [true, false] {
            for conditions in [Conditions::Kept, Conditions::Unsupported] {
                let abilities = Abilities { conditions, checksums };
                let error = match self.put_probe(abilities).await {
                    Ok(()) => return self.found_out(abilities).await,
                    // It is there from another time.
                    Err(Error::Exists { .. }) => return Ok(self.learnt(abilities)),
                    Err(error) => error,
                };
                if !matches!(error, Error::Unsupported { .. } | Error::Unexpected { .. }) {
                    return Err(error);
                }
                // The first request is as all others to S3, so what is said of it tells most.
                answer.get_or_insert(error);
            }
        }
        Err(answer.unwrap_or_else(|| Error::Config { what: "the bucket was not probed".into() }))
    }

    /// The probe was written; is it written once more although it is there now?
    async fn found_out(&self, abilities: Abilities) -> Result<Abilities> {
        if abilities.conditions == Conditions::Kept {
            match self.put_probe(abilities).await {
                Ok(()) => return Ok(self.learnt(Abilities { conditions: Conditions::Ignored, ..abilities })),
                Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.learnt(abilities))
    }

    async fn put_probe(&self, abilities: Abilities) -> Result<()> {
        let key = format!("{}{PROBE}", self.output.key_prefix);
        let body = Body { bytes: Bytes::from_static(CONTENT), content_type: TYPE, cache: "no-store" };
        let only_new = abilities.conditions == Conditions::Kept;
        self.put(&key, body, Default::default(), only_new, abilities).await.map(drop)
    }

    fn learnt(&self, abilities: Abilities) -> Abilities {
        self.abilities.send_replace(abilities);
        abilities
    }
}
