//! Ogg with Opus, Vorbis or FLAC. Sources: <https://www.rfc-editor.org/rfc/rfc3533>,
//! <https://www.rfc-editor.org/rfc/rfc7845>, <https://xiph.org/vorbis/doc/v-comment.html>.

use crate::{
    BadFile,
    walk::{HELD_MOST, Seen, Step, Walk, le, le32},
};

/// A page's head, without the table of its parts, in bytes.
const HEAD: usize = 27;
const LAST: u8 = 4;

/// Each page is looked at as a whole; the pages of the comments are held until the last of them.
#[derive(Debug)]
pub(crate) struct Ogg {
    strip: bool,
    next: Next,
    /// The current page.
    page: Vec<u8>,
    /// Pages that hold comments.
    held: Vec<Page>,
    codec: Codec,
    pages: u64,
    /// Streams that have begun and not ended.
    open: u32,
    rate: u64,
    skipped: u64,
    last: u64,
    seen: Seen,
    are_comments_over: bool,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Head,
    Table,
    Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Opus,
    Vorbis,
    Other,
}

#[derive(Debug)]
struct Page {
    bytes: Vec<u8>,
    /// Where its content begins.
    content: usize,
    /// Where the packet ends that is the first in it, if it does.
    packet_end: Option<usize>,
}

impl Ogg {
    pub(crate) fn new(strip: bool) -> Self {
        Self {
            strip,
            next: Next::Head,
            page: Vec::new(),
            held: Vec::new(),
            codec: Codec::Other,
            pages: 0,
            open: 0,
            rate: 0,
            skipped: 0,
            last: 0,
            seen: Seen::default(),
            are_comments_over: false,
        }
    }

    fn page(&mut self, out: &mut Vec<u8>) -> Result<(), BadFile> {
        let bytes = std::mem::take(&mut self.page);
        let page = Page::new(bytes);
        if !page.is_sound() {
            return Err(BadFile::Checksum { part: format!("page {}", self.pages) });
        }
        let flags = page.bytes.get(5).copied().unwrap_or_default();
        self.open =
            self.open.saturating_add(u32::from(flags & 2 != 0)).saturating_sub(u32::from(flags & LAST != 0));
        if self.pages == 0 {
            self.first(&page);
        }
        let granule = le(&page.bytes, 6, 8).unwrap_or_default();
        if granule != u64::MAX {
            self.last = self.last.max(granule);
        }
        self.pages += 1;
        let is_comment = self.pages > 1 && !self.are_comments_over && self.codec != Codec::Other;
        if !is_comment || !self.strip {
            out.extend_from_slice(&page.bytes);
            return Ok(());
        }
        self.are_comments_over = page.packet_end.is_some();
        self.held.push(page);
        if self.are_comments_over {
            self.blank();
        }
        let held: usize = self.held.iter().map(|page| page.bytes.len()).sum();
        if self.are_comments_over || held > HELD_MOST {
            self.are_comments_over = true;
            self.held.drain(..).for_each(|page| out.extend_from_slice(&page.bytes));
        }
        Ok(())
    }

    fn first(&mut self, page: &Page) {
        let content = page.bytes.get(page.content..).unwrap_or_default();
        if content.starts_with(b"OpusHead") {
            self.codec = Codec::Opus;
            // Positions count at 48 kHz, whatever the input's rate was; the first samples are not played.
            (self.rate, self.skipped) = (48_000, le(content, 10, 2).unwrap_or_default());
        } else if content.starts_with(b"\x01vorbis") {
            self.codec = Codec::Vorbis;
            self.rate = le(content, 12, 4).unwrap_or_default();
        }
    }

    /// Empties the list of comments, in place: their packet keeps its size, zeros follow the empty list.
    fn blank(&mut self) {
        let mut packet = Vec::new();
        for page in &self.held {
            let end = page.packet_end.unwrap_or(page.bytes.len());
            packet.extend_from_slice(page.bytes.get(page.content..end).unwrap_or_default());
        }
        let start = match self.codec {
            Codec::Opus if packet.starts_with(b"OpusTags") => 8,
            Codec::Vorbis if packet.starts_with(b"\x03vorbis") => 7,
            _ => return,
        };
        let Some(vendor) = le32(&packet, start).and_then(|length| usize::try_from(length).ok()) else {
            return;
        };
        let Some(list) = start.checked_add(4 + vendor).and_then(|at| packet.get_mut(at..)) else { return };
        list.fill(0);
        // Vorbis ends the list with a bit that is 1.
        if let (Codec::Vorbis, Some(end)) = (self.codec, list.get_mut(4)) {
            *end = 1;
        }
        let mut rest = packet.as_slice();
        for page in &mut self.held {
            let end = page.packet_end.unwrap_or(page.bytes.len());
            let Some(content) = page.bytes.get_mut(page.content..end) else { return };
            let (part, more) = rest.split_at(content.len().min(rest.len()));
            content.copy_from_slice(part);
            rest = more;
            page.seal();
        }
        self.seen.is_stripped = true;
    }
}

impl Page {
    fn new(bytes: Vec<u8>) -> Self {
        let parts = usize::from(bytes.get(26).copied().unwrap_or_default());
        let content = HEAD + parts;
        let table = bytes.get(HEAD..content).unwrap_or_default();
        let end = table.iter().position(|part| *part < 255);
        let length = |parts: &[u8]| parts.iter().map(|part| usize::from(*part)).sum::<usize>();
        let packet_end = end.and_then(|end| table.get(..=end)).map(|parts| content + length(parts));
        Self { bytes, content, packet_end }
    }

    fn checksum(&self) -> u32 {
        self.bytes.iter().enumerate().fold(0, |crc, (at, byte)| {
            let byte = if (22..26).contains(&at) { 0 } else { *byte };
            crc << 8 ^ CRC32.get((crc >> 24) as usize ^ usize::from(byte)).copied().unwrap_or_default()
        })
    }

    fn is_sound(&self) -> bool {
        le32(&self.bytes, 22) == Some(self.checksum())
    }

    fn seal(&mut self) {
        let checksum = self.checksum().to_le_bytes();
        if let Some(place) = self.bytes.get_mut(22..26) {
            place.copy_from_slice(&checksum);
        }
    }
}

impl Walk for Ogg {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        self.page.extend_from_slice(head);
        match self.next {
            Next::Head if head.is_empty() => Ok(Step::want(HEAD)),
            Next::Head if !head.starts_with(b"OggS") => {
                Err(BadFile::Damaged("a page does not begin as pages do"))
            }
            Next::Head => {
                self.next = Next::Table;
                Ok(Step::want(head.get(26).copied().unwrap_or_default().into()))
            }
            Next::Table => {
                self.next = Next::Content;
                Ok(Step::want(head.iter().map(|part| usize::from(*part)).sum()))
            }
            Next::Content => {
                self.page(out)?;
                self.next = Next::Head;
                Ok(Step::want(HEAD))
            }
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        let is_whole = self.open == 0 && self.pages > 2 && self.held.is_empty();
        let played = self.last.saturating_sub(self.skipped).saturating_mul(1000);
        self.seen.duration_ms = played.checked_div(self.rate);
        Ok((is_whole && matches!(self.next, Next::Head)).then_some(self.seen))
    }
}

/// Polynomial 0x04c11db7, not reflected.
const CRC32: [u32; 256] = {
    let mut table = [0; 256];
    let mut n: u32 = 0;
    while n < 256 {
        let mut crc = n << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[n as usize] = crc;
        n += 1;
    }
    table
};
