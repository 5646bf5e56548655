//! Safetensors, and ComfyUI's latents, which are such files: the prompt stands in `__metadata__`.
//! Source: <https://huggingface.co/docs/safetensors/index#format>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    BadFile,
    glb::replace,
    walk::{ENDLESS, HELD_MOST, Seen, Step, Walk, le},
};

#[derive(Debug)]
pub(crate) struct Safetensors {
    strip: bool,
    next: Next,
    is_stripped: bool,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Start,
    Header,
    /// The header is too large to be looked at.
    Unseen,
    Over,
}

#[derive(Deserialize)]
struct Tensor {
    data_offsets: (u64, u64),
}

impl Safetensors {
    pub(crate) fn new(strip: bool) -> Self {
        Self { strip, next: Next::Start, is_stripped: false }
    }

    fn header(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        let odd = BadFile::Damaged("its header is not that of a safetensors file");
        let bytes = match serde_json::from_slice::<BTreeMap<String, &RawValue>>(text) {
            Ok(parts) => {
                let mut bytes = 0;
                for (name, value) in parts {
                    match name == "__metadata__" {
                        true if self.strip => {
                            out.extend_from_slice(&replace(text, value.get(), "{}").ok_or(odd.clone())?);
                            self.is_stripped = true;
                        }
                        true => {}
                        false => {
                            let tensor: Tensor =
                                serde_json::from_str(value.get()).map_err(|_| odd.clone())?;
                            bytes = bytes.max(tensor.data_offsets.1);
                        }
                    }
                }
                bytes
            }
            Err(_) => return Err(odd),
        };
        if !self.is_stripped {
            out.extend_from_slice(text);
            self.is_stripped = true;
        }
        self.next = Next::Over;
        Ok(Step::pass(bytes, 0))
    }
}

impl Walk for Safetensors {
    fn step(&mut self, head: &[u8], out: &mut Vec<u8>) -> Result<Step, BadFile> {
        match self.next {
            Next::Start if head.is_empty() => Ok(Step::want(8)),
            Next::Start => {
                out.extend_from_slice(head);
                match le(head, 0, 8).and_then(|length| usize::try_from(length).ok()) {
                    Some(length) if length <= HELD_MOST => {
                        self.next = Next::Header;
                        Ok(Step::want(length))
                    }
                    length => {
                        self.next = Next::Unseen;
                        Ok(Step::pass(length.unwrap_or_default() as u64, 0))
                    }
                }
            }
            Next::Header => self.header(head, out),
            Next::Unseen => Ok(Step::pass(ENDLESS, 0)),
            Next::Over => Ok(Step::over()),
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        let seen = Seen { is_stripped: self.is_stripped, ..Seen::default() };
        Ok(matches!(self.next, Next::Over | Next::Unseen).then_some(seen))
    }
}
