//! The specs of jobs that are not accepted yet.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::index::Uid;

/// They take so many bytes at most; those beyond it are asked for again.
pub(super) const BYTES: usize = 16 * 1024 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Texts {
    texts: HashMap<Uid, Box<RawValue>>,
    bytes: usize,
}

impl Texts {
    pub(super) fn get(&self, uid: Uid) -> Option<Box<RawValue>> {
        self.texts.get(&uid).cloned()
    }

    /// Keeps one that is not kept yet, if there is room.
    pub(super) fn keep(&mut self, uid: Uid, text: Box<RawValue>) {
        if self.bytes + text.get().len() <= BYTES {
            self.bytes += text.get().len();
            self.texts.insert(uid, text);
        }
    }

    pub(super) fn drop(&mut self, uid: Uid) {
        if let Some(text) = self.texts.remove(&uid) {
            self.bytes -= text.get().len();
        }
    }
}
