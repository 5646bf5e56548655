//! One way through a file of any container: a walk says what becomes of the bytes that come next, and which it wants to
//! see after them.

use std::fmt::Debug;

use crate::{BadFile, MediaType};

/// What a walk may hold of a file, in bytes.
pub(crate) const HELD_MOST: usize = 8 << 20;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// They go out as they are.
    Pass,
    /// As many zeros go out.
    Blank,
    /// They do not go out.
    Drop,
    /// [`Walk::scan`] takes what it likes of them.
    Scan,
}

/// What comes next: `bytes` of a body, and after them a head of `want` bytes, with which the walk is asked again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) body: Body,
    pub(crate) bytes: u64,
    pub(crate) want: usize,
}

/// A body of so many bytes reaches to the end of the file.
pub(crate) const ENDLESS: u64 = u64::MAX;

impl Step {
    pub(crate) fn want(want: usize) -> Self {
        Self { body: Body::Pass, bytes: 0, want }
    }

    pub(crate) fn body(body: Body, bytes: u64, want: usize) -> Self {
        Self { body, bytes, want }
    }

    pub(crate) fn pass(bytes: u64, want: usize) -> Self {
        Self::body(Body::Pass, bytes, want)
    }

    pub(crate) fn scan(want: usize) -> Self {
        Self::body(Body::Scan, ENDLESS, want)
    }

    /// The container is over: what follows is dropped.
    pub(crate) fn over() -> Self {
        Self::body(Body::Drop, ENDLESS, 0)
    }
}

/// What a walk has learned of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What it turned out to be, if something else than it seemed.
    pub(crate) kind: Option<MediaType>,
    pub(crate) size: Option<(u32, u32)>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) frames: Option<u32>,
    /// Nothing is left of what the engine writes into such files.
    pub(crate) is_stripped: bool,
}

/// The way through one kind of container.
pub(crate) trait Walk: Debug + Send {
    /// Takes the head that was asked for; of it only that goes out which the walk writes. A want of 0 bytes is answered
    /// at once, so each step must come nearer to the end.
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile>;

    /// Looks at a part of a body that does not scan.
    fn look(&mut self, _part: &[u8]) {}

    /// Takes bytes from the start of `data`, writes what is to go out, says how many it took. Fewer than all: the body
    /// is over.
    fn scan(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<usize, BadFile> {
        out.extend_from_slice(data);
        Ok(data.len())
    }

    /// The file ended, between a body and a head or within an endless body. `None`: something is missing.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile>;
}

/// The big-endian number at `at`.
pub(crate) fn be(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(length)?)?;
    Some(part.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The big-endian 32-bit number at `at`.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    u32::try_from(be(bytes, at, 4)?).ok()
}

/// The little-endian number at `at`.
pub(crate) fn le(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(length)?)?;
    Some(part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The little-endian 32-bit number at `at`.
pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    u32::try_from(le(bytes, at, 4)?).ok()
}

/// The four bytes at `at`, as names of chunks and boxes are.
pub(crate) fn name(bytes: &[u8], at: usize) -> [u8; 4] {
    let mut name = [0; 4];
    if let Some(part) = at.checked_add(4).and_then(|end| bytes.get(at..end)) {
        name.copy_from_slice(part);
    }
    name
}

/// Where `text` begins.
pub(crate) fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}
