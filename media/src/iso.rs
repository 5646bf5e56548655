//! ISO base media files: MP4, MOV, M4A, AVIF. What is stripped becomes a `free` box of the same size and full of zeros,
//! as offsets into the file stand elsewhere in it. Sources: ISO/IEC 14496-12,
//! <https://developer.apple.com/documentation/quicktime-file-format>, <https://aomediacodec.github.io/av1-avif/>.

use crate::{
    BadFile,
    avif::{self, Blank},
    walk::{Body, ENDLESS, HELD_MOST, Seen, Step, Walk, be, be32, name},
};

/// Boxes whose boxes are walked.
const ENTERED: [[u8; 4]; 5] = [*b"moov", *b"trak", *b"mdia", *b"minf", *b"stbl"];
/// Boxes that hold texts, or that nobody reads.
const TEXTS: [[u8; 4]; 6] = [*b"udta", *b"meta", *b"uuid", *b"free", *b"skip", *b"wide"];

#[derive(Debug)]
pub(crate) struct Iso {
    strip: bool,
    is_avif: bool,
    next: Next,
    /// Where the next head begins, in bytes of the file.
    at: u64,
    /// Where the boxes end in which it is, innermost last.
    ends: Vec<u64>,
    blanks: Vec<Blank>,
    seen: Seen,
    /// A film's `moov`, a picture's `meta`.
    has_index: bool,
    has_data: bool,
    is_video_track: bool,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Head,
    /// A size that takes 64 bits stands after the box's name.
    Large([u8; 4]),
    Content([u8; 4], u64),
    /// Data up to here, parts of which are blanked.
    Data(u64),
    /// The last box has no end.
    Open,
}

impl Iso {
    pub(crate) fn movie(strip: bool) -> Self {
        Self::new(strip, false)
    }

    pub(crate) fn avif(strip: bool) -> Self {
        Self::new(strip, true)
    }

    fn new(strip: bool, is_avif: bool) -> Self {
        Self {
            strip,
            is_avif,
            next: Next::Head,
            at: 0,
            ends: Vec::new(),
            blanks: Vec::new(),
            seen: Seen { is_stripped: true, ..Seen::default() },
            has_index: false,
            has_data: false,
            is_video_track: false,
        }
    }

    /// After a body of so many bytes comes the head of the next box.
    fn after(&mut self, body: Body, bytes: u64) -> Step {
        self.at = self.at.saturating_add(bytes);
        while self.ends.last().is_some_and(|end| *end <= self.at) {
            self.ends.pop();
        }
        self.next = Next::Head;
        Step::body(body, bytes, 8)
    }

    /// `head`: 8 or 16 bytes; `size`: those of the whole box.
    fn begin(&mut self, name: [u8; 4], size: u64, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        let content =
            size.checked_sub(head.len() as u64).ok_or(BadFile::Damaged("a box is smaller than its head"))?;
        let end = self.at.saturating_add(size);
        if self.ends.last().is_some_and(|outer| end > *outer) {
            return Err(BadFile::Damaged("a box is larger than the one it is in"));
        }
        self.at += head.len() as u64;
        let is_top = self.ends.is_empty();
        self.has_data |= is_top && name == *b"mdat";
        self.has_index |= is_top && name == if self.is_avif { *b"meta" } else { *b"moov" };
        if self.is_avif && is_top && name == *b"meta" {
            return self.hold(name, content, head, out);
        }
        if self.strip && TEXTS.contains(&name) {
            out.extend_from_slice(head.get(..4).unwrap_or_default());
            out.extend_from_slice(b"free");
            out.extend_from_slice(head.get(8..).unwrap_or_default());
            return Ok(self.after(Body::Blank, content));
        }
        out.extend_from_slice(head);
        if self.is_avif && name == *b"mdat" {
            return Ok(self.data(self.at.saturating_add(content)));
        }
        if ENTERED.contains(&name) {
            self.is_video_track &= name != *b"trak";
            self.ends.push(end);
            return Ok(self.after(Body::Pass, 0));
        }
        let looks_at = match &name {
            b"mvhd" => 32,
            b"tkhd" => content.min(96),
            b"stsz" if self.is_video_track => 12,
            _ => 0,
        };
        if looks_at == 0 || content < looks_at {
            return Ok(self.after(Body::Pass, content));
        }
        self.next = Next::Content(name, content);
        Ok(Step::want(usize::try_from(looks_at).unwrap_or_default()))
    }

    /// A picture's `meta` says what is where, so it is looked at as a whole.
    fn hold(&mut self, name: [u8; 4], content: u64, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        out.extend_from_slice(head);
        match usize::try_from(content) {
            Ok(bytes) if bytes <= HELD_MOST => {
                self.next = Next::Content(name, content);
                Ok(Step::want(bytes))
            }
            _ => {
                self.seen.is_stripped = false;
                Ok(self.after(Body::Pass, content))
            }
        }
    }

    fn content(&mut self, name: [u8; 4], size: u64, data: &[u8], out: &mut Vec<u8>) -> Step {
        let is_long = data.first() == Some(&1);
        let (duration_at, length) = if is_long { (24, 8) } else { (16, 4) };
        match &name {
            b"meta" => {
                self.seen.size = avif::size(data);
                let mut data = data.to_vec();
                if self.strip {
                    match avif::texts(&mut data) {
                        Some(blanks) => self.blanks = blanks,
                        None => self.seen.is_stripped = false,
                    }
                    let after = self.at.saturating_add(size);
                    self.seen.is_stripped &= self.blanks.iter().all(|blank| blank.start >= after);
                }
                out.extend_from_slice(&data);
                self.at = self.at.saturating_add(size);
                return self.after(Body::Pass, 0);
            }
            b"mvhd" => {
                let scale = be(data, duration_at - 4, 4).unwrap_or_default();
                let duration = be(data, duration_at, length).filter(|units| *units >> (8 * length - 1) == 0);
                let duration = duration.and_then(|units| (units.checked_mul(1000)?).checked_div(scale));
                self.seen.duration_ms = duration.filter(|ms| *ms > 0);
            }
            b"tkhd" => {
                // Sides are 16.16 fixed-point numbers.
                let at = if is_long { 88 } else { 76 };
                let sides = be32(data, at).zip(be32(data, at + 4)).map(|(w, h)| (w >> 16, h >> 16));
                let size = sides.filter(|(width, height)| *width > 0 && *height > 0);
                self.is_video_track = size.is_some() && self.seen.size.is_none();
                self.seen.size = self.seen.size.or(size);
            }
            _ => self.seen.frames = be32(data, 8).filter(|frames| *frames > 0),
        }
        out.extend_from_slice(data);
        let looked_at = data.len() as u64;
        self.at += looked_at;
        self.after(Body::Pass, size.saturating_sub(looked_at))
    }

    /// The next part of a picture's data: as it is, or blanked.
    fn data(&mut self, end: u64) -> Step {
        let at = self.at;
        let until = |limit: u64| limit.min(end) - at;
        let step = match self
            .blanks
            .iter()
            .filter(|blank| blank.end > at && blank.start < end && at < end)
            .min_by_key(|blank| blank.start)
        {
            Some(blank) if blank.start <= at => Step::body(Body::Blank, until(blank.end), 0),
            Some(blank) => Step::body(Body::Pass, until(blank.start), 0),
            None => return self.after(Body::Pass, end - at),
        };
        self.at += step.bytes;
        self.next = Next::Data(end);
        step
    }
}

impl Walk for Iso {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Head if head.is_empty() => Ok(Step::want(8)),
            Next::Head => match (be32(head, 0).unwrap_or_default(), name(head, 4)) {
                (1, name) => {
                    self.next = Next::Large(name);
                    Ok(Step::want(8))
                }
                (0, name) if self.ends.is_empty() => {
                    self.has_data |= name == *b"mdat";
                    out.extend_from_slice(head);
                    self.next = Next::Open;
                    self.seen.is_stripped &= name == *b"mdat" && self.blanks.is_empty();
                    Ok(Step::pass(ENDLESS, 0))
                }
                (size, name) => self.begin(name, size.into(), head, out),
            },
            Next::Large(name) => {
                let size = be(head, 0, 8).unwrap_or_default();
                let head = [&[0, 0, 0, 1], name.as_slice(), head].concat();
                self.begin(name, size, &head, out)
            }
            Next::Content(name, size) => Ok(self.content(name, size, head, out)),
            Next::Data(end) => Ok(self.data(end)),
            Next::Open => Ok(Step::pass(ENDLESS, 0)),
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        let is_between = matches!(self.next, Next::Head | Next::Open) && self.ends.is_empty();
        Ok((is_between && self.has_index && self.has_data).then_some(self.seen))
    }
}
