//! OpenEXR. Texts in its header are replaced by spaces.
//! Source: <https://openexr.com/en/latest/OpenEXRFileLayout.html>.

use crate::{
    BadFile,
    walk::{Body, ENDLESS, HELD_MOST, Seen, Step, Walk, le, le32},
};

/// Files of several parts, with tiles, or with several values a pixel: their data is not walked.
const COMPLEX: u32 = 0x1a00;
/// Lines in a block, by how they are compressed.
const LINES: [u64; 10] = [1, 1, 1, 16, 32, 16, 32, 32, 32, 256];
const LONGEST_NAME: usize = 256;

#[derive(Debug)]
pub(crate) struct Exr {
    strip: bool,
    next: Next,
    /// An attribute's name and type, each with the 0 that ends it.
    names: Vec<u8>,
    is_complex: bool,
    lines: u64,
    lines_a_block: u64,
    blocks: u64,
    seen: Seen,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Start,
    Names,
    Size,
    Value,
    Block,
    Open,
    Over,
}

impl Exr {
    pub(crate) fn new(strip: bool) -> Self {
        Self {
            strip,
            next: Next::Start,
            names: Vec::new(),
            is_complex: false,
            lines: 0,
            lines_a_block: 1,
            blocks: 0,
            seen: Seen { is_stripped: true, ..Seen::default() },
        }
    }

    fn name(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<Step, BadFile> {
        out.push(byte);
        self.names.push(byte);
        if self.names == [0] {
            return Ok(self.data());
        }
        if self.names.len() > 2 * LONGEST_NAME {
            return Err(BadFile::Damaged("a name in its header has no end"));
        }
        let is_over = self.names.iter().filter(|byte| **byte == 0).count() == 2;
        self.next = if is_over { Next::Size } else { Next::Names };
        Ok(Step::want(if is_over { 4 } else { 1 }))
    }

    /// The header is over: a table of the blocks comes, and the blocks.
    fn data(&mut self) -> Step {
        if self.is_complex || self.lines == 0 {
            self.seen.is_stripped &= !self.is_complex;
            self.next = Next::Open;
            return Step::pass(ENDLESS, 0);
        }
        self.blocks = self.lines.div_ceil(self.lines_a_block);
        self.next = Next::Block;
        Step::pass(8 * self.blocks, 8)
    }

    fn value(&mut self, value: &[u8], out: &mut Vec<u8>) -> Step {
        let names = std::mem::take(&mut self.names);
        let mut names = names.split(|byte| *byte == 0);
        let (name, kind) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
        match name {
            b"dataWindow" => {
                let side = |at: usize| {
                    let corner = |at| le32(value, at).map(u32::cast_signed);
                    let length = i64::from(corner(at + 8)?) - i64::from(corner(at)?) + 1;
                    u32::try_from(length).ok().filter(|length| *length > 0)
                };
                self.seen.size = side(0).zip(side(4));
                self.lines = self.seen.size.map_or(0, |(_, height)| height.into());
            }
            b"compression" => {
                let lines = value.first().and_then(|kind| LINES.get(usize::from(*kind)));
                self.lines_a_block = lines.copied().unwrap_or(1);
            }
            _ => {}
        }
        match self.strip && kind == b"string" {
            true => out.resize(out.len() + value.len(), b' '),
            false => out.extend_from_slice(value),
        }
        self.next = Next::Names;
        Step::want(1)
    }
}

impl Walk for Exr {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Start if head.is_empty() => Ok(Step::want(8)),
            Next::Start => {
                out.extend_from_slice(head);
                self.is_complex = le32(head, 4).unwrap_or_default() & COMPLEX != 0;
                self.next = Next::Names;
                Ok(Step::want(1))
            }
            Next::Names => self.name(head.first().copied().unwrap_or_default(), out),
            Next::Size => {
                out.extend_from_slice(head);
                let size = le(head, 0, 4).and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
                if size > HELD_MOST {
                    return Err(BadFile::Damaged("its header is too large"));
                }
                self.next = Next::Value;
                Ok(Step::want(size))
            }
            Next::Value => Ok(self.value(head, out)),
            Next::Block => {
                out.extend_from_slice(head);
                self.blocks = self.blocks.saturating_sub(1);
                let size = le(head, 4, 4).unwrap_or_default();
                if self.blocks > 0 {
                    return Ok(Step::pass(size, 8));
                }
                self.next = Next::Over;
                Ok(Step::pass(size, 0))
            }
            Next::Open => Ok(Step::pass(ENDLESS, 0)),
            Next::Over => Ok(Step::body(Body::Drop, ENDLESS, 0)),
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        Ok(matches!(self.next, Next::Open | Next::Over).then_some(self.seen))
    }
}
