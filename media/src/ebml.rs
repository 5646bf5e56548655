//! Matroska and WebM. What is stripped becomes a `Void` element of the same size, as offsets into the file stand
//! elsewhere in it. Source: <https://www.rfc-editor.org/rfc/rfc9559>.

use crate::{
    BadFile,
    walk::{Body, ENDLESS, HELD_MOST, Seen, Step, Walk, be},
};

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const CLUSTER: u32 = 0x1f43_b675;
const TAGS: u32 = 0x1254_c367;
const CHAPTERS: u32 = 0x1043_a770;
const ATTACHMENTS: u32 = 0x1941_a469;
const VOID: u32 = 0xec;
/// A checksum over the elements beside it, of which some may be gone.
const CRC: u32 = 0xbf;
/// Within `Info`: the title and the names of files.
const NAMES: [u32; 5] = [0x7ba9, 0x7384, 0x3c_83ab, 0x3e_83bb, CRC];
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
const TRACK_ENTRY: u32 = 0xae;
const VIDEO: u32 = 0xe0;
const PIXEL_WIDTH: u32 = 0xb0;
const PIXEL_HEIGHT: u32 = 0xba;
const SEEK: u32 = 0x4dbb;
const SEEK_ID: u32 = 0x53ab;

#[derive(Debug)]
pub(crate) struct Ebml {
    strip: bool,
    next: Next,
    head: Vec<u8>,
    /// Bytes of the segment that are left. `None`: it does not say.
    left: Option<u64>,
    in_segment: bool,
    seen: Seen,
    has_tracks: bool,
    has_cluster: bool,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Head,
    /// An element that is looked at as a whole.
    Whole(u32),
    Over,
}

/// An element within others' content: what it is, where it begins, and where its content is.
#[derive(Debug, Clone, Copy)]
struct Inner {
    id: u32,
    from: usize,
    start: usize,
    end: usize,
}

impl Ebml {
    pub(crate) fn new(strip: bool) -> Self {
        Self {
            strip,
            next: Next::Head,
            head: Vec::with_capacity(12),
            left: None,
            in_segment: false,
            seen: Seen { is_stripped: true, ..Seen::default() },
            has_tracks: false,
            has_cluster: false,
        }
    }

    fn after(&mut self, body: Body, bytes: u64) -> Step {
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        if self.in_segment && self.left == Some(0) {
            self.next = Next::Over;
            return Step::body(body, bytes, 0);
        }
        self.next = Next::Head;
        Step::body(body, bytes, 1)
    }

    /// `size` is `None` where the element does not say.
    fn begin(&mut self, id: u32, size: Option<u64>, out: &mut Vec<u8>) -> Result<Step, BadFile> {
        let head = std::mem::take(&mut self.head);
        if !self.in_segment {
            out.extend_from_slice(&head);
            self.in_segment = id == SEGMENT;
            return match (id, size) {
                (SEGMENT, size) => {
                    self.left = size;
                    Ok(self.after(Body::Pass, 0))
                }
                (EBML | VOID | CRC, Some(size)) => Ok(self.after(Body::Pass, size)),
                _ => Err(BadFile::Damaged("its elements are not those of a Matroska file")),
            };
        }
        let taken = head.len() as u64;
        if self.left.is_some_and(|left| size.unwrap_or(0).saturating_add(taken) > left) {
            return Err(BadFile::Damaged("an element is larger than its segment"));
        }
        self.left = self.left.map(|left| left - taken);
        self.has_tracks |= id == TRACKS;
        self.has_cluster |= id == CLUSTER;
        let Some(size) = size else {
            // A cluster of a live recording: its elements come, and then the next cluster.
            out.extend_from_slice(&head);
            return match id {
                CLUSTER => Ok(self.after(Body::Pass, 0)),
                _ => Err(BadFile::Damaged("an element of it has no size")),
            };
        };
        if self.strip && matches!(id, TAGS | CHAPTERS | ATTACHMENTS | VOID) {
            void(out, head.len(), size);
            return Ok(self.after(Body::Blank, size));
        }
        out.extend_from_slice(&head);
        if matches!(id, SEEK_HEAD | INFO | TRACKS) {
            if let Some(bytes) = usize::try_from(size).ok().filter(|bytes| *bytes <= HELD_MOST) {
                self.next = Next::Whole(id);
                return Ok(Step::want(bytes));
            }
            self.seen.is_stripped = false;
        }
        Ok(self.after(Body::Pass, size))
    }

    fn whole(&mut self, id: u32, data: &[u8], out: &mut Vec<u8>) -> Step {
        let mut data = data.to_vec();
        match id {
            INFO => self.seen.duration_ms = duration(&data),
            TRACKS => self.seen.size = size(&data),
            _ => {}
        }
        if self.strip {
            let gone = inner(&data, 0, data.len()).into_iter().filter(|part| match id {
                INFO => NAMES.contains(&part.id),
                SEEK_HEAD => part.id == CRC || part.id == SEEK && points_at_texts(&data, *part),
                _ => false,
            });
            for part in gone.collect::<Vec<_>>() {
                let mut element = Vec::new();
                void(&mut element, part.start - part.from, (part.end - part.start) as u64);
                element.resize(part.end - part.from, 0);
                data.splice(part.from..part.end, element);
            }
        }
        out.extend_from_slice(&data);
        let bytes = data.len() as u64;
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        self.after(Body::Pass, 0)
    }
}

/// Writes the head of a `Void` element in place of a head of `taken` bytes, before `size` bytes of content.
fn void(out: &mut Vec<u8>, taken: usize, size: u64) {
    // A number of this many bytes makes the head as long as the one before; zeros fill what is still missing.
    let width = taken.saturating_sub(1).clamp(1, 8);
    let missing = taken.saturating_sub(1 + width);
    let number = size.saturating_add(missing as u64) | 1 << (7 * width);
    out.push(0xec);
    out.extend_from_slice(number.to_be_bytes().get(8 - width..).unwrap_or_default());
    out.resize(out.len() + missing, 0);
}

/// How many bytes a number of variable length takes, by its first.
fn length(first: u8) -> usize {
    first.leading_zeros() as usize + 1
}

/// How many bytes the head takes that begins so, as far as that can be told. `None`: there is no such head.
fn head_length(head: &[u8]) -> Option<usize> {
    let Some(first) = head.first() else { return Some(1) };
    let id = length(*first);
    if id > 4 {
        return None;
    }
    match head.get(id) {
        None => Some(id + 1),
        Some(0) => None,
        Some(first) => Some(id + length(*first)),
    }
}

/// An element's name and size.
fn parse(head: &[u8]) -> Option<(u32, Option<u64>)> {
    let id = length(*head.first()?);
    let size = head.len().checked_sub(id)?;
    let bits = be(head, id, size)? & !(u64::MAX << (7 * size));
    let is_known = bits != !(u64::MAX << (7 * size));
    Some((u32::try_from(be(head, 0, id)?).ok()?, is_known.then_some(bits)))
}

/// The elements between two places. Ends at the first that is none.
fn inner(bytes: &[u8], start: usize, end: usize) -> Vec<Inner> {
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        let mut taken = 0;
        let head = loop {
            let Some(head) = bytes.get(at..at + taken) else { return found };
            match head_length(head) {
                Some(length) if length == taken => break head,
                Some(length) => taken = length,
                None => return found,
            }
        };
        let Some((id, Some(size))) = parse(head) else { return found };
        let start = at + taken;
        let Some(next) = usize::try_from(size).ok().and_then(|size| start.checked_add(size)) else {
            return found;
        };
        if next > end {
            return found;
        }
        found.push(Inner { id, from: at, start, end: next });
        at = next;
    }
    found
}

fn points_at_texts(data: &[u8], seek: Inner) -> bool {
    let ids = inner(data, seek.start, seek.end).into_iter().filter(|part| part.id == SEEK_ID);
    let mut ids = ids.filter_map(|part| be(data, part.start, part.end - part.start));
    ids.any(|id| [TAGS, CHAPTERS, ATTACHMENTS].map(u64::from).contains(&id))
}

fn duration(info: &[u8]) -> Option<u64> {
    let parts = inner(info, 0, info.len());
    let part = |id| parts.iter().find(|part| part.id == id);
    let scale = part(TIMESTAMP_SCALE).and_then(|part| be(info, part.start, part.end - part.start));
    let found = part(DURATION)?;
    let bits = be(info, found.start, found.end - found.start)?;
    let units = match found.end - found.start {
        4 => f64::from(f32::from_bits(u32::try_from(bits).ok()?)),
        8 => f64::from_bits(bits),
        _ => return None,
    };
    // Nanoseconds a unit.
    let ms = units * scale.unwrap_or(1_000_000) as f64 / 1e6;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds, as checked")]
    (ms > 0.0 && ms < 1e15).then_some(ms.round() as u64)
}

fn size(tracks: &[u8]) -> Option<(u32, u32)> {
    let entries = inner(tracks, 0, tracks.len()).into_iter().filter(|part| part.id == TRACK_ENTRY);
    let mut videos =
        entries.flat_map(|entry| inner(tracks, entry.start, entry.end)).filter(|part| part.id == VIDEO);
    videos.find_map(|video| {
        let parts = inner(tracks, video.start, video.end);
        let side = |id| {
            let part = parts.iter().find(|part| part.id == id)?;
            u32::try_from(be(tracks, part.start, part.end - part.start)?).ok()
        };
        side(PIXEL_WIDTH).zip(side(PIXEL_HEIGHT))
    })
}

impl Walk for Ebml {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Head => {
                self.head.extend_from_slice(head);
                let not = BadFile::Damaged("its elements are not those of a Matroska file");
                let length = head_length(&self.head).ok_or(not.clone())?;
                if length > self.head.len() {
                    return Ok(Step::want(length - self.head.len()));
                }
                let (id, size) = parse(&self.head).ok_or(not)?;
                self.begin(id, size, out)
            }
            Next::Whole(id) => Ok(self.whole(id, head, out)),
            Next::Over => Ok(Step::body(Body::Drop, ENDLESS, 0)),
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        let is_whole = match self.next {
            Next::Over => true,
            Next::Head => self.in_segment && self.left.is_none() && self.head.is_empty(),
            Next::Whole(_) => false,
        };
        if !is_whole {
            return Ok(None);
        }
        if !self.has_tracks || !self.has_cluster {
            return Err(BadFile::NoContent("track"));
        }
        Ok(Some(self.seen))
    }
}
