//! SVG. ComfyUI writes the prompt into a `metadata` element.
//! Source: <https://www.w3.org/TR/SVG2/struct.html#MetadataElement>.

use crate::{
    BadFile,
    walk::{HELD_MOST, Seen, Step, Walk, find},
};

const OPENING: &[u8] = b"<metadata";
const CLOSING: &[u8] = b"</metadata>";
const RAW: (&[u8], &[u8]) = (b"<![CDATA[", b"]]>");
const COMMENT: (&[u8], &[u8]) = (b"<!--", b"-->");
const END: &[u8] = b"</svg>";

/// Holds the file, up to a limit.
#[derive(Debug)]
pub(crate) struct Svg {
    strip: bool,
    held: Vec<u8>,
    is_too_large: bool,
}

impl Svg {
    pub(crate) fn new(strip: bool) -> Self {
        Self { strip, held: Vec::new(), is_too_large: false }
    }
}

/// The text without its `metadata` elements and comments.
fn strip(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(text.len());
    while let Some(at) = text.iter().position(|byte| *byte == b'<') {
        let (before, tag) = text.split_at(at);
        kept.extend_from_slice(before);
        text = if tag.starts_with(OPENING) {
            tag.get(metadata(tag)?..)?
        } else if tag.starts_with(COMMENT.0) {
            tag.get(find(tag, COMMENT.1)? + COMMENT.1.len()..)?
        } else {
            // What stands in a raw part is text, whatever it looks like.
            let end = if tag.starts_with(RAW.0) { find(tag, RAW.1)? + RAW.1.len() } else { 1 };
            kept.extend_from_slice(tag.get(..end)?);
            tag.get(end..)?
        };
    }
    kept.extend_from_slice(text);
    Some(kept)
}

/// How long a `metadata` element is.
fn metadata(element: &[u8]) -> Option<usize> {
    let head = element.iter().position(|byte| *byte == b'>')? + 1;
    if element.get(..head)?.ends_with(b"/>") {
        return Some(head);
    }
    let mut at = head;
    loop {
        let rest = element.get(at..)?;
        let closing = find(rest, CLOSING)?;
        match find(rest.get(..closing)?, RAW.0) {
            Some(raw) => at += raw + find(rest.get(raw..)?, RAW.1)?,
            None => return Some(at + closing + CLOSING.len()),
        }
    }
}

impl Walk for Svg {
    fn step(&mut self, _head: &[u8], _out: &mut Vec<u8>) -> Result<Step, BadFile> {
        Ok(Step::scan(0))
    }

    fn scan(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<usize, BadFile> {
        self.held.extend_from_slice(data);
        if self.is_too_large || self.held.len() > HELD_MOST {
            self.is_too_large = true;
            // The end is still to be looked at.
            let end = self.held.len().saturating_sub(64);
            out.extend(self.held.drain(..end));
        }
        Ok(data.len())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        if !self.held.trim_ascii_end().ends_with(END) {
            return Ok(None);
        }
        let stripped = if self.strip && !self.is_too_large { strip(&self.held) } else { None };
        out.extend_from_slice(stripped.as_deref().unwrap_or(&self.held));
        Ok(Some(Seen { is_stripped: stripped.is_some(), ..Seen::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn elements_with_metadata_go_and_what_is_seen_stays() {
        let table = [
            ("<svg><metadata>a</metadata><g/></svg>", "<svg><g/></svg>"),
            ("<svg><metadata id='x'/><g/></svg>", "<svg><g/></svg>"),
            ("<svg><metadata><![CDATA[{\"a\": \"</metadata>\"}]]></metadata></svg>", "<svg></svg>"),
            ("<svg><!-- a > b --><text>1 &lt; 2</text></svg>", "<svg><text>1 &lt; 2</text></svg>"),
            (
                "<svg><style><![CDATA[<metadata>]]></style></svg>",
                "<svg><style><![CDATA[<metadata>]]></style></svg>",
            ),
        ];
        for (svg, kept) in table {
            assert_eq!(strip(svg.as_bytes()).as_deref(), Some(kept.as_bytes()), "{svg}");
        }
        assert_eq!(strip(b"<svg><metadata>a</svg>"), None, "it has no end");
    }
}
