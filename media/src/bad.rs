//! What may be wrong with a file.

/// Why a file can't be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadFile {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// Something is missing at its end.
    #[error("it ends in the middle, after {bytes} bytes")]
    Cut {
        /// How many came.
        bytes: u64,
    },
    /// It does not begin as its name says.
    #[error("it is named .{extension}, and does not begin as such a file does")]
    Misnamed {
        /// Without a dot.
        extension: String,
    },
    /// A checksum in it does not fit.
    #[error("it is damaged: the checksum of its {part} is wrong")]
    Checksum {
        /// A chunk's name, or what it is.
        part: String,
    },
    /// It breaks a rule of its container.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It is whole and holds no picture, sound or scene.
    #[error("it holds no {0}")]
    NoContent(&'static str),
    /// Its pixels can't be decoded.
    #[error("its pixels can't be read: {0}")]
    Pixels(String),
    /// The reader had refused the file before.
    #[error("it was refused before")]
    Failed,
}
