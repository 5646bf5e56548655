//! GIF. Source: <https://www.w3.org/Graphics/GIF/spec-gif89a.txt>.

use crate::{
    BadFile,
    walk::{Body, Seen, Step, Walk, le, le32},
};

/// Applications whose blocks change how a picture looks: how often it plays, its colours.
const VISIBLE: [&[u8]; 3] = [b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"];

#[derive(Debug)]
pub(crate) struct Gif {
    strip: bool,
    next: Next,
    seen: Seen,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Header,
    /// What kind of block comes next.
    Block,
    /// What kind of extension.
    Extension,
    /// An extension's head, of so many bytes.
    Application,
    Delay,
    Image,
    /// The size of the next part of a block. The parts go out, or they do not.
    Parts(Body),
    Over,
}

impl Gif {
    pub(crate) fn new(strip: bool) -> Self {
        Self { strip, next: Next::Header, seen: Seen { is_stripped: true, ..Seen::default() } }
    }

    fn then(&mut self, next: Next, step: Step) -> Step {
        self.next = next;
        step
    }

    fn extension(&mut self, label: u8, out: &mut Vec<u8>) -> Step {
        match label {
            0xff => self.then(Next::Application, Step::want(12)),
            0xf9 => {
                out.extend_from_slice(&[0x21, label]);
                self.then(Next::Delay, Step::want(5))
            }
            _ if self.strip => self.then(Next::Parts(Body::Drop), Step::want(1)),
            _ => {
                out.extend_from_slice(&[0x21, label]);
                self.then(Next::Parts(Body::Pass), Step::want(1))
            }
        }
    }
}

/// Bytes of the table of colours that flags announce.
fn colours(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

impl Walk for Gif {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        let first = head.first().copied().unwrap_or_default();
        Ok(match self.next {
            Next::Header if head.is_empty() => Step::want(13),
            Next::Header => {
                out.extend_from_slice(head);
                self.seen.size = le32(head, 6).map(|sides| (sides & 0xffff, sides >> 16));
                let flags = head.get(10).copied().unwrap_or_default();
                self.then(Next::Block, Step::pass(colours(flags), 1))
            }
            Next::Block => match first {
                0x21 => self.then(Next::Extension, Step::want(1)),
                0x2c => {
                    out.push(first);
                    self.then(Next::Image, Step::want(9))
                }
                0x3b => {
                    out.push(first);
                    self.then(Next::Over, Step::over())
                }
                _ => return Err(BadFile::Damaged("its blocks are not those of a GIF file")),
            },
            Next::Extension => self.extension(first, out),
            Next::Application => {
                let is_kept = !self.strip || head.get(1..).is_some_and(|name| VISIBLE.contains(&name));
                if first != 11 {
                    return Err(BadFile::Damaged("its blocks are not those of a GIF file"));
                }
                if is_kept {
                    out.extend_from_slice(&[0x21, 0xff]);
                    out.extend_from_slice(head);
                }
                let body = if is_kept { Body::Pass } else { Body::Drop };
                self.then(Next::Parts(body), Step::want(1))
            }
            Next::Delay => {
                out.extend_from_slice(head);
                let delay = le(head, 2, 2).unwrap_or_default() * 10;
                self.seen.duration_ms = Some(self.seen.duration_ms.unwrap_or_default() + delay);
                if first != 4 {
                    return Err(BadFile::Damaged("its blocks are not those of a GIF file"));
                }
                self.then(Next::Parts(Body::Pass), Step::want(1))
            }
            Next::Image => {
                out.extend_from_slice(head);
                self.seen.frames = Some(self.seen.frames.unwrap_or_default().saturating_add(1));
                let flags = head.get(8).copied().unwrap_or_default();
                // After the colours comes the width of codes, one byte.
                self.then(Next::Parts(Body::Pass), Step::pass(colours(flags) + 1, 1))
            }
            Next::Parts(body) => {
                if body == Body::Pass {
                    out.push(first);
                }
                match first {
                    0 => self.then(Next::Block, Step::want(1)),
                    size => Step::body(body, size.into(), 1),
                }
            }
            Next::Over => Step::over(),
        })
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        match self.next {
            Next::Over if self.seen.frames.is_none() => Err(BadFile::NoContent("picture")),
            Next::Over => {
                let is_animated = self.seen.frames > Some(1);
                self.seen.duration_ms = self.seen.duration_ms.filter(|_| is_animated);
                Ok(Some(self.seen))
            }
            _ => Ok(None),
        }
    }
}
