//! FLAC. Source: <https://www.rfc-editor.org/rfc/rfc9639>.

use crate::{
    BadFile,
    walk::{Body, Seen, Step, Walk, be},
};

const STREAMINFO: u8 = 0;
const PADDING: u8 = 1;
/// Blocks that say how to play: where to seek, and where tracks begin.
const PLAIN: [u8; 3] = [STREAMINFO, 3, 5];
/// The longest head of a frame, in bytes.
const LONGEST_HEAD: usize = 16;

#[derive(Debug)]
pub(crate) struct Flac {
    strip: bool,
    next: Next,
    seen: Seen,
    /// Samples a channel that the file says it has; 0: it does not say.
    expected: u64,
    frames: Frames,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Start,
    Block,
    Info { is_last: bool },
    Frames,
}

impl Flac {
    pub(crate) fn new(strip: bool) -> Self {
        let seen = Seen { is_stripped: true, ..Seen::default() };
        Self { strip, next: Next::Start, seen, expected: 0, frames: Frames::default() }
    }

    fn after(&mut self, is_last: bool, body: Body, bytes: u64) -> Step {
        if is_last {
            self.next = Next::Frames;
            return Step::body(body, bytes, 0);
        }
        self.next = Next::Block;
        Step::body(body, bytes, 4)
    }

    fn info(&mut self, data: &[u8]) -> Result<(), BadFile> {
        let bits = be(data, 10, 8).unwrap_or_default();
        let (rate, samples) = (bits >> 44, bits & 0xf_ffff_ffff);
        if rate == 0 {
            return Err(BadFile::Damaged("it has no sample rate"));
        }
        self.expected = samples;
        self.seen.duration_ms = (samples > 0).then_some(samples * 1000 / rate);
        Ok(())
    }
}

impl Walk for Flac {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Start if head.is_empty() => Ok(Step::want(4)),
            Next::Start => {
                out.extend_from_slice(head);
                self.next = Next::Block;
                Ok(Step::want(4))
            }
            Next::Block => {
                let first = head.first().copied().unwrap_or_default();
                let (is_last, kind) = (first & 0x80 != 0, first & 0x7f);
                let length = be(head, 1, 3).unwrap_or_default();
                if kind == STREAMINFO {
                    out.extend_from_slice(head);
                    self.next = Next::Info { is_last };
                    return Ok(Step::want(34));
                }
                if self.strip && !PLAIN.contains(&kind) {
                    out.push(first & 0x80 | PADDING);
                    out.extend_from_slice(head.get(1..).unwrap_or_default());
                    return Ok(self.after(is_last, Body::Blank, length));
                }
                out.extend_from_slice(head);
                Ok(self.after(is_last, Body::Pass, length))
            }
            Next::Info { is_last } => {
                self.info(head)?;
                out.extend_from_slice(head);
                Ok(self.after(is_last, Body::Pass, 0))
            }
            Next::Frames => Ok(Step::scan(0)),
        }
    }

    fn scan(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<usize, BadFile> {
        out.extend_from_slice(data);
        data.iter().for_each(|byte| self.frames.take(*byte));
        Ok(data.len())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        let Frames { crc, count, samples, .. } = self.frames;
        if !matches!(self.next, Next::Frames) {
            return Ok(None);
        }
        if count == 0 {
            return Err(BadFile::NoContent("sound"));
        }
        let is_whole = crc == 0 && (self.expected == 0 || samples >= self.expected);
        Ok(is_whole.then_some(self.seen))
    }
}

/// Finds the frames: each ends where its checksum over all of it comes to 0, and the next one's head follows.
#[derive(Debug, Default)]
struct Frames {
    /// Over the current frame.
    crc: u16,
    count: u64,
    samples: u64,
    /// What may be the next frame's head.
    head: Vec<u8>,
}

impl Frames {
    fn take(&mut self, byte: u8) {
        let may_begin = self.head.is_empty() && self.crc == 0 && byte == 0xff;
        self.crc = crc16(self.crc, byte);
        if may_begin || !self.head.is_empty() {
            self.head.push(byte);
            match frame(&self.head) {
                Head::Short if self.head.len() < LONGEST_HEAD => {}
                Head::Short | Head::None => self.head.clear(),
                Head::Of { samples } => {
                    self.crc = self.head.iter().fold(0, |crc, byte| crc16(crc, *byte));
                    self.count += 1;
                    self.samples += samples;
                    self.head.clear();
                }
            }
        }
    }
}

enum Head {
    /// It goes on.
    Short,
    None,
    Of {
        samples: u64,
    },
}

/// Reads a frame's head, RFC 9639 section 9.1.
fn frame(head: &[u8]) -> Head {
    if head.first() != Some(&0xff) || head.get(1).is_some_and(|byte| byte & 0xfe != 0xf8) {
        return Head::None;
    }
    let (Some(sizes), Some(number)) = (head.get(2), head.get(4)) else { return Head::Short };
    // The frame's number is coded as UTF-8 codes letters, with up to 7 bytes.
    let coded = match number.leading_ones() {
        0 => 1,
        1 | 8.. => return Head::None,
        ones => ones as usize,
    };
    let (size, rate) = (sizes >> 4, sizes & 15);
    let size_bytes = match size {
        0 => return Head::None,
        6 => 1,
        7 => 2,
        _ => 0,
    };
    let rate_bytes = match rate {
        15 => return Head::None,
        12 => 1,
        13 | 14 => 2,
        _ => 0,
    };
    let end = 4 + coded + size_bytes + rate_bytes;
    let Some(crc) = head.get(end) else { return Head::Short };
    if head.get(..end).is_none_or(|bytes| crc8(bytes) != *crc) {
        return Head::None;
    }
    let samples = match size {
        1 => 192,
        2..=5 => 144 << size,
        6 | 7 => be(head, 4 + coded, size_bytes).unwrap_or_default() + 1,
        _ => 1 << size,
    };
    Head::Of { samples }
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 7 })
    })
}

/// Polynomial 0x8005.
fn crc16(crc: u16, byte: u8) -> u16 {
    crc << 8 ^ CRC16.get(usize::from(crc >> 8) ^ usize::from(byte)).copied().unwrap_or_default()
}

const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut n: u16 = 0;
    while n < 256 {
        let mut crc = n << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x8005 };
            bit += 1;
        }
        table[n as usize] = crc;
        n += 1;
    }
    table
};
