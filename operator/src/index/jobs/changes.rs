//! Which jobs somebody has to look at, each once, the oldest first.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::index::{PoolKey, Uid};

/// Why somebody has to look at a job. The later outweighs the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// An image of it is made or begun: worth a look now and then.
    Progress,
    /// It takes a turn that its user waits for.
    Turn,
    /// Its pool is another one than before.
    Pool,
    /// It is new, or its spec is.
    Spec,
}

/// What somebody has to look at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Job(Uid, Why),
    /// The API server says that it was deleted. The pool is the one that may have it on its queue.
    Deleted(Uid, Option<PoolKey>),
    /// A new list does not show it: it was deleted while nobody watched, or so it seems.
    Missing {
        uid: Uid,
        namespace: Arc<str>,
        name: Box<str>,
        pool: Option<PoolKey>,
    },
    /// A new list is complete.
    Listed,
}

/// What nobody has looked at yet.
#[derive(Default)]
pub(super) struct Changes {
    marked: HashMap<Uid, Why>,
    queue: VecDeque<Change>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes up to `max`.
    pub(super) fn take(&mut self, max: usize) -> Vec<Change> {
        let n = self.queue.len().min(max);
        let mut taken: Vec<Change> = self.queue.drain(..n).collect();
        for change in &mut taken {
            if let Change::Job(uid, why) = change {
                *why = self.marked.remove(uid).unwrap_or(*why);
            }
        }
        taken
    }

    pub(super) fn push(&mut self, change: Change) {
        self.queue.push_back(change);
    }

    /// Somebody has to look at a job. However often that is said, it is one change.
    pub(super) fn mark(&mut self, uid: Uid, why: Why) {
        match self.marked.get_mut(&uid) {
            Some(known) => *known = why.max(*known),
            None => {
                self.marked.insert(uid, why);
                self.queue.push_back(Change::Job(uid, why));
            }
        }
    }

    pub(super) fn mark_all(&mut self, uids: Vec<Uid>, why: Why) {
        uids.into_iter().for_each(|uid| self.mark(uid, why));
    }
}
