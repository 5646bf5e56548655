//! RIFF files: WebP and WAV. What is stripped becomes a chunk that readers skip, of the same size and full of zeros, as
//! sizes stand before it. Sources: <https://developers.google.com/speed/webp/docs/riff_container>,
//! <https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html>.

use crate::{
    BadFile,
    walk::{Body, ENDLESS, Seen, Step, Walk, le, le32, name},
};

/// Chunks of WebP that make the picture, those of animations among them.
const PICTURE: [[u8; 4]; 7] = [*b"VP8X", *b"VP8 ", *b"VP8L", *b"ALPH", *b"ANIM", *b"ANMF", *b"ICCP"];
/// Chunks of WAV that make the sound.
const SOUND: [[u8; 4]; 7] = [*b"fmt ", *b"fact", *b"data", *b"cue ", *b"smpl", *b"inst", *b"PEAK"];
/// Bits of the VP8X chunk that announce EXIF and XMP.
const ANNOUNCED: u8 = 0b1100;
/// A writer that can't go back leaves this as a size.
const UNKNOWN: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Riff {
    strip: bool,
    is_webp: bool,
    next: Next,
    /// Bytes of the file after the current chunk's head.
    left: u64,
    seen: Seen,
    has_content: bool,
    /// Of sound.
    bytes_per_second: u64,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Start,
    Head,
    Content {
        name: [u8; 4],
        size: u64,
    },
    /// Less than a chunk's head is left.
    Tail,
    Over,
}

impl Riff {
    pub(crate) fn webp(strip: bool) -> Self {
        Self::new(strip, true)
    }

    pub(crate) fn wav(strip: bool) -> Self {
        Self::new(strip, false)
    }

    fn new(strip: bool, is_webp: bool) -> Self {
        let seen = Seen { is_stripped: true, ..Seen::default() };
        Self { strip, is_webp, next: Next::Start, left: 0, seen, has_content: false, bytes_per_second: 0 }
    }

    /// After a chunk: the next one, or the end.
    fn after(&mut self, body: Body, bytes: u64) -> Step {
        self.left = self.left.saturating_sub(bytes);
        if self.left >= 8 {
            self.next = Next::Head;
            return Step::body(body, bytes, 8);
        }
        self.next = Next::Tail;
        Step::body(body, bytes, 0)
    }

    fn begin(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        let name = name(head, 0);
        let size = le32(head, 4).unwrap_or_default();
        self.left = self.left.saturating_sub(8);
        if size == UNKNOWN && name == *b"data" && !self.is_webp {
            self.has_content = true;
            self.next = Next::Over;
            out.extend_from_slice(head);
            return Ok(Step::pass(ENDLESS, 0));
        }
        let size = u64::from(size);
        if size > self.left {
            return Err(BadFile::Damaged("a chunk is larger than the file"));
        }
        let padded = (size + size % 2).min(self.left);
        let known: &[[u8; 4]] = if self.is_webp { &PICTURE } else { &SOUND };
        if self.strip && !known.contains(&name) {
            out.extend_from_slice(b"JUNK");
            out.extend_from_slice(head.get(4..).unwrap_or_default());
            return Ok(self.after(Body::Blank, padded));
        }
        out.extend_from_slice(head);
        let looks_at = match &name {
            b"VP8X" | b"VP8 " => 10,
            b"VP8L" => 5,
            b"ANMF" | b"fmt " => 16,
            _ => 0,
        };
        if name == *b"data" {
            self.has_content = true;
            self.seen.duration_ms = (size * 1000).checked_div(self.bytes_per_second);
        }
        if looks_at == 0 || size < looks_at {
            return Ok(self.after(Body::Pass, padded));
        }
        self.next = Next::Content { name, size: padded };
        Ok(Step::want(usize::try_from(looks_at).unwrap_or_default()))
    }

    fn content(&mut self, name: [u8; 4], size: u64, data: &[u8], out: &mut Vec<u8>) -> Step {
        let start = out.len();
        out.extend_from_slice(data);
        let number =
            |at, length| le(data, at, length).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        match &name {
            b"VP8X" => {
                self.seen.size = Some((number(4, 3) + 1, number(7, 3) + 1));
                if let (true, Some(flags)) = (self.strip, out.get_mut(start)) {
                    *flags &= !ANNOUNCED;
                }
            }
            b"VP8 " => {
                self.has_content = true;
                self.seen.size = self.seen.size.or(Some((number(6, 2) & 0x3fff, number(8, 2) & 0x3fff)));
            }
            b"VP8L" => {
                self.has_content = true;
                let bits = number(1, 4);
                self.seen.size = self.seen.size.or(Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)));
            }
            b"ANMF" => {
                self.has_content = true;
                self.seen.frames = Some(self.seen.frames.unwrap_or_default().saturating_add(1));
                self.seen.duration_ms =
                    Some(self.seen.duration_ms.unwrap_or_default() + u64::from(number(12, 3)));
            }
            _ => self.bytes_per_second = number(8, 4).into(),
        }
        self.left = self.left.saturating_sub(data.len() as u64);
        self.after(Body::Pass, size.saturating_sub(data.len() as u64))
    }
}

impl Walk for Riff {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Start if head.is_empty() => Ok(Step::want(12)),
            Next::Start => {
                out.extend_from_slice(head);
                let size = le32(head, 4).unwrap_or_default();
                self.left = if size == UNKNOWN { u64::MAX } else { u64::from(size).saturating_sub(4) };
                Ok(self.after(Body::Pass, 0))
            }
            Next::Head => self.begin(head, out),
            Next::Content { name, size } => Ok(self.content(name, size, head, out)),
            Next::Tail => {
                let body = if self.strip { Body::Blank } else { Body::Pass };
                self.next = Next::Over;
                Ok(Step::body(body, std::mem::take(&mut self.left), 0))
            }
            Next::Over => Ok(Step::over()),
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        match self.next {
            Next::Over if self.has_content => Ok(Some(self.seen)),
            Next::Over => Err(BadFile::NoContent(if self.is_webp { "picture" } else { "sound" })),
            _ => Ok(None),
        }
    }
}
