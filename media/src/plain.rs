//! Files without a container: texts, JSON, and what nobody knows.

use crate::{
    BadFile, MediaType,
    walk::{ENDLESS, Seen, Step, Walk},
};

/// JSON up to this size is parsed, in bytes.
const PARSED_MOST: usize = 1 << 20;

/// Passes a file on as it is.
#[derive(Debug)]
pub(crate) struct Plain {
    kind: Kind,
    /// The end of a character that was cut by a piece; or the JSON so far.
    held: Vec<u8>,
    is_sound: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// Whether its name says so; else it may be a text that begins with a bracket.
    Json {
        is_named: bool,
    },
    Other,
}

impl Plain {
    pub(crate) fn text() -> Self {
        Self { kind: Kind::Text, held: Vec::new(), is_sound: true }
    }

    pub(crate) fn json(is_named: bool) -> Self {
        Self { kind: Kind::Json { is_named }, held: Vec::new(), is_sound: true }
    }

    pub(crate) fn other() -> Self {
        Self { kind: Kind::Other, held: Vec::new(), is_sound: false }
    }

    /// Whether what came so far is UTF-8, but for the last character.
    fn read(&mut self, part: &[u8]) {
        self.held.extend_from_slice(part);
        let checked =
            std::str::from_utf8(&self.held).map_err(|error| (error.valid_up_to(), error.error_len()));
        match checked {
            Ok(_) => self.held.clear(),
            Err((valid, None)) => drop(self.held.drain(..valid)),
            Err((_, Some(_))) => self.is_sound = false,
        }
    }
}

impl Walk for Plain {
    fn step(&mut self, _head: &[u8], _out: &mut Vec<u8>) -> Result<Step, BadFile> {
        Ok(Step::pass(ENDLESS, 0))
    }

    fn look(&mut self, part: &[u8]) {
        match self.kind {
            Kind::Text if self.is_sound => self.read(part),
            Kind::Json { .. } if self.is_sound => {
                self.held.extend_from_slice(part);
                if self.held.len() > PARSED_MOST {
                    (self.held, self.is_sound) = (Vec::new(), false);
                }
            }
            Kind::Text | Kind::Json { .. } => {}
            Kind::Other => self.is_sound |= part.iter().any(|byte| *byte != 0),
        }
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Seen>, BadFile> {
        let mut seen = Seen { is_stripped: true, ..Seen::default() };
        match self.kind {
            Kind::Text if !self.is_sound || !self.held.is_empty() => seen.kind = Some(MediaType::Other),
            Kind::Json { is_named } if self.is_sound => {
                let json = self.held.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.held);
                match serde_json::from_slice::<serde::de::IgnoredAny>(json) {
                    Ok(_) => {}
                    Err(error) if is_named && error.is_eof() => return Ok(None),
                    Err(_) if is_named => return Err(BadFile::Damaged("it is not JSON")),
                    Err(_) if std::str::from_utf8(&self.held).is_ok() => seen.kind = Some(MediaType::Text),
                    Err(_) => seen.kind = Some(MediaType::Other),
                }
            }
            Kind::Text | Kind::Json { .. } => {}
            // As a crashed disk leaves them.
            Kind::Other if !self.is_sound => return Err(BadFile::Damaged("it holds nothing but zeros")),
            Kind::Other => seen.is_stripped = false,
        }
        Ok(Some(seen))
    }
}
