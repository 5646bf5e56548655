//! Which files the engine holds for the tasks of this worker, and for how long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::{JobUid, TaskInput};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Mutex as Turn, Notify},
    time::Instant,
};

use crate::comfyui::State;

/// How long what no task uses is kept for the next task of its job, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Since its last task was over.
    pub idle: Duration,
    /// Of all such files, bytes in the engine.
    pub bytes: u64,
    /// Such files.
    pub files: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), bytes: 256 << 20, files: 64 }
    }
}

/// What makes two inputs the same: source, kind and limit; and the job, unless the content is given, since what is
/// at a URL or a key may change from one job to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// A file in the engine.
#[derive(Debug, Clone)]
pub(super) struct Lent {
    /// Its name there, `<sha256>.<extension>`.
    pub(super) file: String,
    /// The name by which a graph loads it.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// How the engine was when it was given the file, or when it last said that it has it.
    pub(super) seen: State,
}

/// One input, for as long as tasks use it and a while longer.
#[derive(Debug)]
struct Entry {
    /// Whoever locks it fetches; the others wait.
    lent: Arc<Turn<Option<Lent>>>,
    /// What the engine may have of it.
    file: Option<(String, u64)>,
    users: u32,
    idle_since: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    entries: Mutex<HashMap<Key, Entry>>,
    released: Notify,
}

/// A task's use of an input.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    shelf: &'a Shelf,
    key: Key,
    pub(super) lent: Arc<Turn<Option<Lent>>>,
}

impl Key {
    pub(super) fn of(job: &JobUid, input: &TaskInput) -> Self {
        let TaskInput { name: _, source, sha256, kind, to: _, max_bytes, max_pixels } = input;
        let job = sha256.is_none().then_some(job);
        let mut hash = Sha256::new();
        // Its parts can always be written: they came as JSON.
        hash.update(
            serde_json::to_vec(&(source, sha256, kind, max_bytes, max_pixels, job)).unwrap_or_default(),
        );
        Self(hash.finalize().into())
    }
}

impl Shelf {
    pub(super) fn hold(&self, key: Key) -> Hold<'_> {
        let mut entries = self.lock();
        let entry = entries.entry(key).or_insert_with(|| Entry {
            lent: Arc::default(),
            file: None,
            users: 0,
            idle_since: Instant::now(),
        });
        entry.users += 1;
        Hold { shelf: self, key, lent: entry.lent.clone() }
    }

    /// Takes away what has been idle for too long, and of the rest what is too much, the longest idle first. Returns
    /// the files of these inputs, and when to look again.
    pub(super) fn expire(&self, keep: Keep, now: Instant) -> (Vec<String>, Option<Instant>) {
        let mut entries = self.lock();
        let idle = entries.iter().filter(|(_, entry)| entry.users == 0);
        let mut idle: Vec<_> = idle
            .map(|(key, entry)| (entry.idle_since, *key, entry.file.as_ref().map_or(0, |(_, bytes)| *bytes)))
            .collect();
        idle.sort_by_key(|(since, ..)| *since);
        let (mut files, mut bytes) = (idle.len(), idle.iter().map(|(.., bytes)| bytes).sum::<u64>());
        let mut gone = Vec::new();
        let mut next = None;
        for (since, key, size) in idle {
            if now < since + keep.idle && files <= keep.files && bytes <= keep.bytes {
                next = Some(since + keep.idle);
                break;
            }
            files -= 1;
            bytes -= size;
            gone.extend(entries.remove(&key).and_then(|entry| entry.file).map(|(file, _)| file));
        }
        (gone, next)
    }

    /// Does another input have the same content, and so the same file?
    pub(super) fn names(&self, file: &str) -> bool {
        self.lock().values().any(|entry| entry.file.as_ref().is_some_and(|(named, _)| named == file))
    }

    /// Wakes when a task has no use for an input any more.
    pub(super) async fn released(&self) {
        self.released.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold<'_> {
    /// The engine is about to get this file.
    pub(super) fn lends(&self, file: &str, bytes: u64) {
        if let Some(entry) = self.shelf.lock().get_mut(&self.key) {
            entry.file = Some((file.to_owned(), bytes));
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut entries = self.shelf.lock();
        if let Some(entry) = entries.get_mut(&self.key) {
            entry.users -= 1;
            entry.idle_since = Instant::now();
            // Nothing came of it.
            if entry.users == 0 && entry.file.is_none() {
                entries.remove(&self.key);
            }
        }
        self.shelf.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use queue::{InputKind, InputSource, JobUid, TaskInput};
    use tokio::time::{Instant, advance};

    use super::{Keep, Key, Shelf};

    const KEEP: Keep = Keep { idle: Duration::from_secs(60), bytes: 100, files: 3 };

    fn key(number: u8) -> Key {
        Key([number; 32])
    }

    fn use_once(shelf: &Shelf, number: u8, bytes: u64) {
        shelf.hold(key(number)).lends(&format!("{number}.png"), bytes);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_use_stays_and_what_is_idle_for_long_goes() {
        let shelf = Shelf::default();
        let held = shelf.hold(key(1));
        held.lends("1.png", 1000);
        use_once(&shelf, 2, 10);
        let began = Instant::now();
        assert_eq!(shelf.expire(KEEP, began), (vec![], Some(began + KEEP.idle)));
        advance(KEEP.idle).await;
        assert_eq!(shelf.expire(KEEP, Instant::now()), (vec!["2.png".to_owned()], None));
        drop(held);
        advance(KEEP.idle).await;
        assert_eq!(shelf.expire(KEEP, Instant::now()), (vec!["1.png".to_owned()], None));
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_much_that_is_idle_the_longest_idle_goes_first() {
        let shelf = Shelf::default();
        for number in 1..=5 {
            use_once(&shelf, number, 10);
            advance(Duration::from_secs(1)).await;
        }
        let _again = shelf.hold(key(1));
        assert_eq!(shelf.expire(KEEP, Instant::now()).0, ["2.png"], "more than three files");
        use_once(&shelf, 3, 90);
        assert_eq!(shelf.expire(KEEP, Instant::now()).0, ["4.png"], "more than 100 bytes");
        assert!(shelf.names("5.png") && !shelf.names("4.png"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_of_which_nothing_came_is_forgotten_at_once() {
        let shelf = Shelf::default();
        let (one, other) = (shelf.hold(key(1)), shelf.hold(key(1)));
        drop(one);
        drop(other);
        assert_eq!(shelf.lock().len(), 0);
    }

    #[test]
    fn jobs_share_an_input_only_where_its_content_is_given() {
        let input = |sha256: Option<&str>, path: &str| TaskInput {
            name: "photo".into(),
            source: InputSource::Object { key: path.into() },
            sha256: sha256.map(str::to_owned),
            kind: InputKind::Picture,
            to: vec![],
            max_bytes: 1,
            max_pixels: None,
        };
        let key = |job: &str, input: TaskInput| Key::of(&JobUid(job.into()), &input);
        assert_eq!(key("a", input(None, "x")), key("a", input(None, "x")));
        assert_ne!(key("a", input(None, "x")), key("b", input(None, "x")), "the object may have changed");
        assert_ne!(key("a", input(None, "x")), key("a", input(None, "y")));
        assert_eq!(key("a", input(Some("00"), "x")), key("b", input(Some("00"), "x")));
        assert_ne!(key("a", input(Some("00"), "x")), key("a", input(Some("01"), "x")));
    }
}
