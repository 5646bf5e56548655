//! Stub.
#![allow(missing_docs, clippy::unused_async)]
use crate::{Queue, Result};
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    pub digest: String,
    pub version: String,
    pub template: String,
    pub key: Option<String>,
    pub models: Vec<ModelFile>,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    pub folder: String,
    pub name: String,
    pub bytes: Option<u64>,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSeen {
    pub facts: EngineFacts,
    pub seen_ms: u64,
    pub now_ms: u64,
}
impl Queue {
    pub async fn engines(&self) -> Result<Vec<EngineSeen>> {
        Ok(Vec::new())
    }
    pub async fn definitions(&self, _digest: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}
