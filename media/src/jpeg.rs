//! JPEG. Source: <https://www.w3.org/Graphics/JPEG/itu-t81.pdf>, annex B.

use crate::{
    BadFile, exif,
    walk::{Seen, Step, Walk, be},
};

#[derive(Debug)]
pub(crate) struct Jpeg {
    strip: bool,
    next: Next,
    seen: Seen,
    has_scan: bool,
}

#[derive(Debug)]
enum Next {
    Start,
    /// 0xFF and a marker's second byte, between segments.
    Marker,
    /// The same amid a scan's data, where 0xFF00 stands for 0xFF and markers of restarts belong to the data.
    MarkerInScan,
    /// Bytes of 0xFF may stand before a marker's second byte.
    Fill {
        in_scan: bool,
    },
    /// A segment's length, and as many bytes as tell what it is.
    Length(u8),
    Segment(u8),
    Over,
}

impl Jpeg {
    pub(crate) fn new(strip: bool) -> Self {
        let seen = Seen { is_stripped: true, ..Seen::default() };
        Self { strip, next: Next::Start, seen, has_scan: false }
    }

    fn marker(&mut self, second: u8, in_scan: bool, out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match second {
            0xff => {
                self.next = Next::Fill { in_scan };
                Ok(Step::want(1))
            }
            0 | 0xd0..=0xd7 if in_scan => {
                out.extend_from_slice(&[0xff, second]);
                self.next = Next::MarkerInScan;
                Ok(Step::scan(2))
            }
            0xd9 => {
                out.extend_from_slice(&[0xff, second]);
                self.next = Next::Over;
                Ok(Step::over())
            }
            0xc0.. => {
                self.next = Next::Length(second);
                Ok(Step::want(2))
            }
            _ => Err(BadFile::Damaged("its segments are not those of a JPEG file")),
        }
    }

    fn segment(&mut self, marker: u8, data: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        self.next = Next::Marker;
        let mut replaced = None;
        let is_kept = !self.strip
            || match marker {
                0xe0 => data.starts_with(b"JFIF\0"),
                0xe1 => {
                    let orientation = data.strip_prefix(b"Exif\0\0").and_then(exif::orientation);
                    replaced =
                        orientation.map(|value| [b"Exif\0\0".as_slice(), &exif::minimal(value)].concat());
                    replaced.is_some()
                }
                0xe2 => data.starts_with(b"ICC_PROFILE\0"),
                0xee => data.starts_with(b"Adobe"),
                0xe3..=0xef | 0xfe => false,
                _ => true,
            };
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let side = |at| be(data, at, 2).and_then(|side| u32::try_from(side).ok());
            let size = side(3).zip(side(1)).filter(|(width, height)| *width > 0 && *height > 0);
            self.seen.size = Some(size.ok_or(BadFile::NoContent("picture"))?);
        }
        if is_kept {
            let data = replaced.as_deref().unwrap_or(data);
            let length = u16::try_from(data.len() + 2).unwrap_or(u16::MAX);
            out.extend_from_slice(&[0xff, marker]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(data);
        }
        if marker == 0xda {
            (self.has_scan, self.next) = (true, Next::MarkerInScan);
            return Ok(Step::scan(2));
        }
        Ok(Step::want(2))
    }
}

impl Walk for Jpeg {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Start if head.is_empty() => Ok(Step::want(2)),
            Next::Start => {
                out.extend_from_slice(head);
                self.next = Next::Marker;
                Ok(Step::want(2))
            }
            Next::Marker | Next::MarkerInScan => match head {
                [0xff, second] => self.marker(*second, matches!(self.next, Next::MarkerInScan), out),
                _ => Err(BadFile::Damaged("its segments are not those of a JPEG file")),
            },
            Next::Fill { in_scan } => self.marker(head.first().copied().unwrap_or_default(), in_scan, out),
            Next::Length(marker) => {
                let length = be(head, 0, 2).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
                let Some(length) = length.checked_sub(2) else {
                    return Err(BadFile::Damaged("a segment of it has no length"));
                };
                self.next = Next::Segment(marker);
                Ok(Step::want(length))
            }
            Next::Segment(marker) => self.segment(marker, head, out),
            Next::Over => Ok(Step::over()),
        }
    }

    fn scan(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<usize, BadFile> {
        let end = data.iter().position(|byte| *byte == 0xff).unwrap_or(data.len());
        out.extend_from_slice(data.get(..end).unwrap_or_default());
        Ok(end)
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        match self.next {
            Next::Over if self.has_scan && self.seen.size.is_some() => Ok(Some(self.seen)),
            Next::Over => Err(BadFile::NoContent("picture")),
            _ => Ok(None),
        }
    }
}
