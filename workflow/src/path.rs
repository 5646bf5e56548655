//! An input of a node, written `node.input`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An input of a node. As text it is `node.input`: `6.text`, `57:8.seed`, `12.resize_type.width`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InputPath {
    /// The node's id.
    pub node: String,
    /// The input's name. It may have dots, a node's id may not.
    pub input: String,
}

/// It is not `node.input`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write it as node.input, e.g. 6.text")]
pub struct NotAPath;

impl InputPath {
    /// The input `input` of the node `node`.
    #[must_use]
    pub fn new(node: impl Into<String>, input: impl Into<String>) -> Self {
        Self { node: node.into(), input: input.into() }
    }
}

impl FromStr for InputPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        match text.split_once('.') {
            Some((node, input)) if !node.is_empty() && !input.is_empty() => Ok(Self::new(node, input)),
            _ => Err(NotAPath),
        }
    }
}

impl TryFrom<String> for InputPath {
    type Error = NotAPath;

    fn try_from(text: String) -> Result<Self, NotAPath> {
        text.parse()
    }
}

impl From<InputPath> for String {
    fn from(path: InputPath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for InputPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.input)
    }
}
