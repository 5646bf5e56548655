//! GLB, the binary form of glTF. ComfyUI writes the prompt into `asset.extras`.
//! Source: <https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html#glb-file-format-specification>.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    BadFile,
    walk::{HELD_MOST, Seen, Step, Walk, le32, name},
};

#[derive(Debug)]
pub(crate) struct Glb {
    strip: bool,
    next: Next,
    left: u32,
    is_stripped: bool,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Start,
    Json,
    Over,
}

#[derive(Deserialize)]
struct Scene<'a> {
    #[serde(borrow)]
    asset: Option<Asset<'a>>,
    #[serde(borrow)]
    extras: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Asset<'a> {
    #[serde(borrow)]
    extras: Option<&'a RawValue>,
}

impl Glb {
    pub(crate) fn new(strip: bool) -> Self {
        Self { strip, next: Next::Start, left: 0, is_stripped: false }
    }
}

/// Puts `instead` and spaces in the place of a value, which is a part of the text.
pub(crate) fn replace(json: &[u8], value: &str, instead: &str) -> Option<Vec<u8>> {
    let at = (value.as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
    let mut text = json.to_vec();
    let place = text.get_mut(at..at.checked_add(value.len())?)?;
    place.fill(b' ');
    place.get_mut(..instead.len())?.copy_from_slice(instead.as_bytes());
    Some(text)
}

/// The JSON without the texts, of the same length. `None`: it is none, or too odd to tell.
fn strip(json: &[u8]) -> Option<Vec<u8>> {
    let mut text = json.to_vec();
    loop {
        let Scene { asset, extras } = serde_json::from_slice(&text).ok()?;
        let values = [extras, asset.and_then(|asset| asset.extras)];
        let Some(value) = values.into_iter().flatten().find(|value| value.get() != "0") else {
            return Some(text);
        };
        text = replace(&text, value.get(), "0")?;
    }
}

impl Walk for Glb {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Start if head.is_empty() => Ok(Step::want(20)),
            Next::Start => {
                let total = le32(head, 8).unwrap_or_default();
                let json = le32(head, 12).unwrap_or_default();
                out.extend_from_slice(head);
                self.left = total.saturating_sub(20);
                if name(head, 16) != *b"JSON" || json > self.left {
                    return Err(BadFile::Damaged("its chunks are not those of a GLB file"));
                }
                self.next = Next::Over;
                match usize::try_from(json) {
                    Ok(length) if self.strip && length <= HELD_MOST => {
                        self.next = Next::Json;
                        Ok(Step::want(length))
                    }
                    _ => Ok(Step::pass(self.left.into(), 0)),
                }
            }
            Next::Json => {
                let stripped = strip(head);
                self.is_stripped = stripped.is_some();
                out.extend_from_slice(stripped.as_deref().unwrap_or(head));
                self.next = Next::Over;
                let left = self.left.saturating_sub(u32::try_from(head.len()).unwrap_or(u32::MAX));
                Ok(Step::pass(left.into(), 0))
            }
            Next::Over => Ok(Step::over()),
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        let seen = Seen { is_stripped: self.is_stripped, ..Seen::default() };
        Ok(matches!(self.next, Next::Over).then_some(seen))
    }
}
