//! PNG and APNG. Source: <https://www.w3.org/TR/png-3/>.

use crc32fast::Hasher;

use crate::{
    BadFile,
    walk::{Body, Seen, Step, Walk, be, be32, name},
};

/// Chunks that change how a picture looks, besides the critical ones, whose names begin with a capital. All others may
/// hold texts: `tEXt`, `zTXt`, `iTXt`, `eXIf`, ComfyUI's own `comf`.
/// Source: <https://www.w3.org/TR/png-3/#11Chunks>.
const VISIBLE: [[u8; 4]; 14] = [
    *b"tRNS", *b"gAMA", *b"cHRM", *b"sRGB", *b"iCCP", *b"cICP", *b"mDCV", *b"cLLI", *b"sBIT", *b"bKGD",
    *b"pHYs", *b"acTL", *b"fcTL", *b"fdAT",
];
/// The editor's file. ComfyUI writes the empty one that goes with our prompts, of which nobody has any use.
const STUB: &[u8] = b"workflow\0";
/// The longest chunk, in bytes.
const LARGEST_CHUNK: u32 = i32::MAX as u32;

#[derive(Debug)]
pub(crate) struct Png {
    strip: bool,
    next: Next,
    /// The current chunk.
    chunk: Chunk,
    seen: Seen,
    has_pixels: bool,
}

#[derive(Debug)]
enum Next {
    Signature,
    Head,
    /// The first bytes of a chunk whose content counts.
    Content,
    Checksum,
    Over,
}

#[derive(Debug, Default)]
struct Chunk {
    head: [u8; 8],
    checksum: Hasher,
    is_kept: bool,
}

impl Chunk {
    fn name(&self) -> [u8; 4] {
        name(&self.head, 4)
    }
}

impl Png {
    pub(crate) fn new(strip: bool) -> Self {
        let seen = Seen { is_stripped: true, ..Seen::default() };
        Self { strip, next: Next::Signature, chunk: Chunk::default(), seen, has_pixels: false }
    }

    fn begin(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        let head: [u8; 8] = head.try_into().unwrap_or_default();
        let length = be32(&head, 0).unwrap_or_default();
        let name = name(&head, 4);
        let is_first = self.seen.size.is_none();
        if length > LARGEST_CHUNK || is_first != (name == *b"IHDR") || is_first && length != 13 {
            return Err(BadFile::Damaged("its chunks are not those of a PNG file"));
        }
        let is_kept = name[0].is_ascii_uppercase() || VISIBLE.contains(&name) || !self.strip;
        let mut checksum = Hasher::new();
        checksum.update(&name);
        self.chunk = Chunk { head, checksum, is_kept };
        self.has_pixels |= name == *b"IDAT";
        let looks_at = match &name {
            b"IHDR" => 13,
            b"acTL" if length == 8 => 8,
            b"fcTL" if length == 26 => 26,
            _ if is_kept && name[0].is_ascii_lowercase() => {
                usize::try_from(length).unwrap_or(0).min(STUB.len())
            }
            _ => 0,
        };
        if looks_at > 0 {
            self.next = Next::Content;
            return Ok(Step::want(looks_at));
        }
        if is_kept {
            out.extend_from_slice(&head);
        }
        Ok(self.rest(length))
    }

    fn rest(&mut self, bytes: u32) -> Step {
        self.next = Next::Checksum;
        Step::body(if self.chunk.is_kept { Body::Pass } else { Body::Drop }, bytes.into(), 4)
    }

    fn content(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match &self.chunk.name() {
            b"IHDR" => {
                let size =
                    be32(data, 0).zip(be32(data, 4)).filter(|(width, height)| *width > 0 && *height > 0);
                self.seen.size = Some(size.ok_or(BadFile::NoContent("picture"))?);
            }
            b"acTL" => (self.seen.frames, self.seen.duration_ms) = (be32(data, 0), Some(0)),
            b"fcTL" => {
                let (numerator, denominator) = (be(data, 20, 2).unwrap_or(0), be(data, 22, 2).unwrap_or(0));
                let delay = numerator * 1000 / if denominator == 0 { 100 } else { denominator };
                self.seen.duration_ms = self.seen.duration_ms.map(|duration| duration + delay);
            }
            _ if data == STUB => self.chunk.is_kept = false,
            _ => {}
        }
        self.chunk.checksum.update(data);
        if self.chunk.is_kept {
            out.extend_from_slice(&self.chunk.head);
            out.extend_from_slice(data);
        }
        let length = be32(&self.chunk.head, 0).unwrap_or_default();
        Ok(self.rest(length.saturating_sub(u32::try_from(data.len()).unwrap_or_default())))
    }

    fn end(&mut self, checksum: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        let Chunk { checksum: computed, is_kept, .. } = &self.chunk;
        let name = self.chunk.name();
        if computed.clone().finalize().to_be_bytes() != *checksum {
            let name = String::from_utf8_lossy(&name);
            return Err(BadFile::Checksum { part: format!("{name} chunk") });
        }
        if *is_kept {
            out.extend_from_slice(checksum);
        }
        if name == *b"IEND" {
            self.next = Next::Over;
            return Ok(Step::over());
        }
        self.next = Next::Head;
        Ok(Step::want(8))
    }
}

impl Walk for Png {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Signature if head.is_empty() => Ok(Step::want(8)),
            Next::Signature => {
                out.extend_from_slice(head);
                self.next = Next::Head;
                Ok(Step::want(8))
            }
            Next::Head => self.begin(head, out),
            Next::Content => self.content(head, out),
            Next::Checksum => self.end(head, out),
            Next::Over => Ok(Step::over()),
        }
    }

    fn look(&mut self, part: &[u8]) {
        if matches!(self.next, Next::Checksum) {
            self.chunk.checksum.update(part);
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        match self.next {
            Next::Over if self.has_pixels => Ok(Some(self.seen)),
            Next::Over => Err(BadFile::NoContent("picture")),
            _ => Ok(None),
        }
    }
}
