//! MP3: frames, with tags before and after them. Sources: ISO/IEC 11172-3, <https://id3.org/id3v2.4.0-structure>.

use crate::{
    BadFile,
    walk::{Body, Seen, Step, Walk, be32, find, le},
};

/// Kilobits a second, of MPEG 1 and of MPEG 2 and 2.5, layer III.
const BITRATES: [[u32; 16]; 2] = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0],
];

#[derive(Debug)]
pub(crate) struct Mp3 {
    strip: bool,
    next: Next,
    frames: u64,
    /// Frames that the first one says follow it.
    expected: Option<u64>,
    samples: u64,
    rate: u32,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Head,
    /// The first frame, which may say how many follow.
    First(Frame),
    /// The rest of a tag's head, of which these are the first bytes.
    Id3([u8; 4]),
    Ape([u8; 4]),
    Over,
}

/// A frame's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Bytes of the whole frame.
    length: u32,
    samples: u32,
    rate: u32,
}

impl Frame {
    /// `None`: it is no head of a layer III frame.
    pub(crate) fn read(head: &[u8]) -> Option<Self> {
        let bits = be32(head, 0)?;
        let (sync, version, layer) = (bits >> 21, bits >> 19 & 3, bits >> 17 & 3);
        if sync != 0x7ff || version == 1 || layer != 1 {
            return None;
        }
        let is_first_version = version == 3;
        let rates = BITRATES.get(usize::from(!is_first_version))?;
        let bitrate = *rates.get((bits >> 12 & 15) as usize)?;
        let rate =
            [44_100, 48_000, 32_000].get((bits >> 10 & 3) as usize)? >> [2, 0, 1, 0][(version & 3) as usize];
        let padding = bits >> 9 & 1;
        let samples = if is_first_version { 1152 } else { 576 };
        (bitrate > 0).then(|| Self { length: samples / 8 * bitrate * 1000 / rate + padding, samples, rate })
    }

    /// Whether a file begins with frames: with two, if so much of it is there.
    pub(crate) fn are_at(start: &[u8]) -> bool {
        Self::read(start).is_some_and(|frame| {
            let next = start.get(frame.length as usize..).filter(|rest| rest.len() >= 4);
            next.is_none_or(|next| Self::read(next).is_some() || next.starts_with(b"TAG"))
        })
    }
}

impl Mp3 {
    pub(crate) fn new(strip: bool) -> Self {
        Self { strip, next: Next::Head, frames: 0, expected: None, samples: 0, rate: 0 }
    }

    fn tag(&mut self, bytes: u64) -> Step {
        self.next = Next::Head;
        Step::body(if self.strip { Body::Drop } else { Body::Pass }, bytes, 4)
    }

    fn write(&self, parts: [&[u8]; 2], out: &mut Vec<u8>) {
        if !self.strip {
            out.extend(parts.into_iter().flatten());
        }
    }

    fn frame(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        let frame =
            Frame::read(head).ok_or(BadFile::Damaged("what follows a frame is neither a frame nor a tag"))?;
        out.extend_from_slice(head);
        self.rate = frame.rate;
        let rest = frame.length.saturating_sub(4);
        if self.frames == 0 {
            self.next = Next::First(frame);
            return Ok(Step::want(rest as usize));
        }
        self.frames += 1;
        self.samples += u64::from(frame.samples);
        Ok(Step::pass(rest.into(), 4))
    }

    /// The first frame may hold numbers instead of sound.
    fn first(&mut self, frame: Frame, data: &[u8], out: &mut Vec<u8>) -> Step {
        out.extend_from_slice(data);
        self.frames += 1;
        let start = data.get(..48.min(data.len())).unwrap_or_default();
        let info = find(start, b"Xing").or_else(|| find(start, b"Info"));
        match info {
            Some(at) => {
                let says_frames = be32(data, at + 4).is_some_and(|flags| flags & 1 != 0);
                self.expected = be32(data, at + 8).filter(|_| says_frames).map(u64::from);
            }
            None => self.samples += u64::from(frame.samples),
        }
        self.next = Next::Head;
        Step::want(4)
    }
}

impl Walk for Mp3 {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Head if head.is_empty() => Ok(Step::want(4)),
            Next::Head => {
                let start = head.try_into().unwrap_or_default();
                match head {
                    [b'I', b'D', b'3', _] => {
                        self.next = Next::Id3(start);
                        Ok(Step::want(6))
                    }
                    b"APET" => {
                        self.next = Next::Ape(start);
                        Ok(Step::want(28))
                    }
                    [b'T', b'A', b'G', _] => {
                        self.write([head, &[]], out);
                        self.next = Next::Over;
                        Ok(Step::body(if self.strip { Body::Drop } else { Body::Pass }, 124, 0))
                    }
                    _ => self.frame(head, out),
                }
            }
            Next::First(frame) => Ok(self.first(frame, head, out)),
            Next::Id3(start) => {
                self.write([&start, head], out);
                // Seven bits a byte; a footer repeats the head.
                let size = head.iter().skip(2).fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
                let has_footer = head.get(1).is_some_and(|flags| flags & 0x10 != 0);
                Ok(self.tag(size + if has_footer { 10 } else { 0 }))
            }
            Next::Ape(start) => {
                self.write([&start, head], out);
                // The size counts the footer and not the head. A footer alone has no more to skip.
                let size = le(head, 8, 4).unwrap_or_default();
                let is_head = le(head, 16, 4).is_some_and(|flags| flags & 1 << 29 != 0);
                Ok(self.tag(if is_head { size } else { 0 }))
            }
            Next::Over => Ok(Step::over()),
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        let is_whole = matches!(self.next, Next::Head | Next::Over);
        let are_all_there = self.expected.is_none_or(|expected| self.frames > expected);
        if self.frames == 0 && is_whole {
            return Err(BadFile::NoContent("sound"));
        }
        let duration_ms = (self.samples * 1000).checked_div(self.rate.into());
        Ok((is_whole && are_all_there).then_some(Seen { duration_ms, is_stripped: true, ..Seen::default() }))
    }
}
