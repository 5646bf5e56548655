//! Takes a file in pieces and gives it on, checked and stripped.

use sha2::{Digest as _, Sha256};

use crate::{
    BadFile, MediaType,
    kind::{SNIFFED, extension_of},
    walk::{Body, ENDLESS, Step, Walk},
};

/// Whether what the engine writes into files of its own (the prompt, the graph) stays in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// It goes.
    Strip,
    /// It stays.
    Keep,
}

/// What is known of a whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Told from its bytes.
    pub media_type: MediaType,
    /// Without a dot. That of the media type, or of the file's name where bytes tell nothing.
    pub extension: String,
    /// Bytes that were pushed.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes: u64,
    /// Of what came out.
    pub sha256: [u8; 32],
    /// Pixels. `None`: it has none, or does not say.
    pub size: Option<(u32, u32)>,
    /// Milliseconds that it plays. `None`: it does not play, or does not say.
    pub duration_ms: Option<u64>,
    /// Pictures in it, where that is cheap to tell.
    pub frames: Option<u32>,
    /// Nothing is left in it of what the engine writes into files of this kind.
    pub is_stripped: bool,
}

/// Takes a file in pieces of any size. Holds at most 8 MiB of it, mostly a few bytes.
#[derive(Debug)]
pub struct Reader {
    metadata: Metadata,
    extension: Option<String>,
    state: State,
    bytes_in: u64,
    bytes_out: u64,
    sha256: Sha256,
}

#[derive(Debug)]
enum State {
    /// The beginning of the file, until it says what it is.
    Sniffing(Vec<u8>),
    Walking(MediaType, Way),
    /// A push has failed.
    Failed,
}

impl Reader {
    /// `name` is what the file is called where it comes from: its extension tells a kind that bytes do not.
    #[must_use]
    pub fn new(metadata: Metadata, name: &str) -> Self {
        Self {
            metadata,
            extension: extension_of(name),
            state: State::Sniffing(Vec::new()),
            bytes_in: 0,
            bytes_out: 0,
            sha256: Sha256::new(),
        }
    }

    /// Takes the next piece; appends to `out` what goes out.
    ///
    /// # Errors
    /// As soon as it is sure that the file is of no use. The reader is then of no use either.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), BadFile> {
        let start = out.len();
        self.bytes_in += piece.len() as u64;
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Sniffing(mut seen) => {
                seen.extend_from_slice(piece);
                match seen.len() < SNIFFED {
                    true => State::Sniffing(seen),
                    false => self.begin(&seen, out)?,
                }
            }
            State::Walking(kind, mut way) => {
                way.push(piece, out)?;
                State::Walking(kind, way)
            }
            State::Failed => return Err(BadFile::Failed),
        };
        self.count(out, start);
        Ok(())
    }

    /// What the file is, as soon as that is known: after its first 4 KiB. Texts may turn out to be none; then the facts
    /// say otherwise.
    #[must_use]
    pub fn media_type(&self) -> Option<MediaType> {
        match self.state {
            State::Walking(kind, _) => Some(kind),
            State::Sniffing(_) | State::Failed => None,
        }
    }

    /// Says what the file is, once all of it was pushed; appends to `out` what is still to go out.
    ///
    /// # Errors
    /// When something is missing.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Facts, BadFile> {
        let start = out.len();
        if self.bytes_in == 0 {
            return Err(BadFile::Empty);
        }
        let cut = BadFile::Cut { bytes: self.bytes_in };
        let (kind, mut way) = match std::mem::replace(&mut self.state, State::Failed) {
            State::Sniffing(seen) => match self.begin(&seen, out)? {
                State::Walking(kind, way) => (kind, way),
                State::Sniffing(_) | State::Failed => return Err(cut),
            },
            State::Walking(kind, way) => (kind, way),
            State::Failed => return Err(BadFile::Failed),
        };
        if !way.is_at_border() {
            return Err(cut);
        }
        let Some(seen) = way.walk.finish(out)? else { return Err(cut) };
        self.count(out, start);
        let media_type = seen.kind.unwrap_or(kind);
        Ok(Facts {
            media_type,
            extension: media_type.extension_for(self.extension.as_deref()),
            bytes_in: self.bytes_in,
            bytes: self.bytes_out,
            sha256: self.sha256.finalize().into(),
            size: seen.size,
            duration_ms: seen.duration_ms,
            frames: seen.frames,
            is_stripped: seen.is_stripped && self.metadata == Metadata::Strip,
        })
    }

    fn begin(&self, seen: &[u8], out: &mut Vec<u8>) -> Result<State, BadFile> {
        let kind = MediaType::tell(seen, self.extension.as_deref())?;
        let mut way = Way::new(kind.walk(self.metadata, self.extension.as_deref()));
        way.push(seen, out)?;
        Ok(State::Walking(kind, way))
    }

    fn count(&mut self, out: &[u8], start: usize) {
        let fresh = out.get(start..).unwrap_or_default();
        self.bytes_out += fresh.len() as u64;
        self.sha256.update(fresh);
    }
}

/// So many steps in a row may take no byte: more are a walk that does not come to an end.
const MOST_IDLE: u32 = 1000;

/// A walk, and where it is.
#[derive(Debug)]
struct Way {
    walk: Box<dyn Walk>,
    step: Step,
    head: Vec<u8>,
}

impl Way {
    fn new(walk: Box<dyn Walk>) -> Self {
        Self { walk, step: Step::want(0), head: Vec::new() }
    }

    fn is_at_border(&self) -> bool {
        matches!(self.step.bytes, 0 | ENDLESS) && self.head.is_empty()
    }

    fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), BadFile> {
        let mut idle = 0;
        loop {
            if self.step.bytes == 0 && self.head.len() == self.step.want {
                self.step = self.walk.step(&self.head, out)?;
                self.head.clear();
                idle += 1;
                if idle > MOST_IDLE {
                    return Err(BadFile::Damaged("its parts have no end"));
                }
                continue;
            }
            idle = 0;
            if piece.is_empty() {
                return Ok(());
            }
            piece = match self.step.bytes {
                0 => {
                    let (taken, rest) = piece.split_at(piece.len().min(self.step.want - self.head.len()));
                    self.head.extend_from_slice(taken);
                    rest
                }
                _ => self.body(piece, out)?,
            };
        }
    }

    /// Takes what belongs to the body; returns the rest.
    fn body<'a>(&mut self, piece: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], BadFile> {
        let most = usize::try_from(self.step.bytes).unwrap_or(usize::MAX);
        let (part, rest) = piece.split_at(piece.len().min(most));
        if self.step.body == Body::Scan {
            let taken = self.walk.scan(part, out)?;
            if taken < part.len() {
                self.step.bytes = 0;
            } else if self.step.bytes != ENDLESS {
                self.step.bytes -= part.len() as u64;
            }
            return Ok(piece.get(taken..).unwrap_or_default());
        }
        match self.step.body {
            Body::Pass => out.extend_from_slice(part),
            Body::Blank => out.resize(out.len() + part.len(), 0),
            Body::Drop | Body::Scan => {}
        }
        self.walk.look(part);
        if self.step.bytes != ENDLESS {
            self.step.bytes -= part.len() as u64;
        }
        Ok(rest)
    }
}
