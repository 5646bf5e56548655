//! Takes files from the engine, one at a time and within a budget of memory.

mod budget;
mod pictures;
mod reread;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use media::{BadFile, Facts, Metadata, Reader, Unconverted};
use queue::{Form, Reason};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};

use self::reread::Reread;
pub(crate) use self::{
    budget::Budget,
    pictures::{converted, is_black},
};
use crate::{
    comfyui::{self, Download, Engine, Error, File, Output, State},
    ending::Ending,
};

/// A file that came in part, or not at all, is fetched so often.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// No file is larger: S3 takes no more in one request.
const LARGEST: u64 = 5 << 30;

/// A file that is whole, and what it is.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) content: Content,
    pub(crate) facts: Facts,
}

/// Where it is.
#[derive(Debug)]
pub(crate) enum Content {
    /// In memory, of which it takes its share.
    Whole { bytes: Bytes, memory: OwnedSemaphorePermit },
    /// Still at the engine, as it is larger than the memory for files.
    OnEngine(Arc<Reread>),
}

impl Collected {
    /// What is stored.
    pub(crate) fn content(&self) -> store::Content {
        match &self.content {
            Content::Whole { bytes, .. } => bytes.clone().into(),
            Content::OnEngine(file) => file.content(),
        }
    }

    /// Why the latest try to store it had nothing to store.
    pub(crate) fn lost(&self) -> Option<Lost> {
        match &self.content {
            Content::Whole { .. } => None,
            Content::OnEngine(file) => file.lost(),
        }
    }
}

/// A file that was made and can't be had.
#[derive(Debug, thiserror::Error)]
#[error("{output} {why}")]
pub(crate) struct Lost {
    output: Box<Output>,
    why: Why,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
enum Why {
    /// The engine does not have it, though it says so.
    #[error("can't be fetched: {0}")]
    Gone(Box<Error>),
    #[error("can't be fetched any more: {0}")]
    EngineDied(Box<Error>),
    #[error("can't be kept: {0}")]
    Bad(#[from] BadFile),
    #[error("can't be converted: {0}")]
    Unconverted(#[from] Unconverted),
    #[error("is not the file any more that it was")]
    Changed,
    #[error("has {} MiB, and S3 takes at most {}", .bytes.div_ceil(1 << 20), LARGEST >> 20)]
    TooLarge { bytes: u64 },
    #[error("has {} MiB, and a worker holds at most {} of what it does not only pass on (OUTPUT_BUDGET_MIB)", .bytes.div_ceil(1 << 20), .most >> 20)]
    TooLargeToHold { bytes: u64, most: u64 },
}

/// One try.
enum Failed {
    /// It may work the next time.
    ForNow(Error),
    ForGood(Why),
}

impl Lost {
    fn new(output: &Output, why: Why) -> Self {
        Self { output: Box::new(output.clone()), why }
    }

    /// What becomes of the task.
    pub(crate) fn ending(&self) -> Ending {
        match &self.why {
            // Another kind of file than its name says, or one with nothing in it, is what the graph makes.
            Why::Bad(BadFile::Misnamed { .. } | BadFile::NoContent(_) | BadFile::Pixels(_)) => {
                Ending::rejected(Reason::NoOutput, self)
            }
            Why::Gone(_) | Why::Bad(_) | Why::Changed => Ending::doubted(Reason::OutputLost, self),
            Why::EngineDied(_) => Ending::crashed(self),
            Why::Unconverted(_) => Ending::rejected(Reason::NotConverted, self),
            Why::TooLarge { .. } | Why::TooLargeToHold { .. } => {
                Ending::rejected(Reason::OutputTooLarge, self)
            }
        }
    }

    /// An equal node made the file for an earlier prompt, and it is not there any more: made anew, it will be.
    pub(crate) fn is_stale(&self) -> bool {
        self.output.is_cached && matches!(self.why, Why::Gone(_) | Why::Bad(_) | Why::Changed)
    }
}

/// Fetches a file. Holds the task up while there is no room for it; one for which there never is stays where it is.
pub(crate) async fn collect(
    engine: &Arc<Engine>,
    budget: &Budget,
    output: &Output,
    form: Form,
) -> Result<Collected, Lost> {
    let metadata = if form.keep_texts { Metadata::Keep } else { Metadata::Strip };
    let file = match &output.content {
        comfyui::Content::File(file) => file,
        comfyui::Content::Text(text) => return write_down(budget, output, text).await,
    };
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let received = match engine.open(file).await {
            Ok(download) => receive(download, budget, file, metadata).await,
            Err(error) => Err(Failed::ForNow(error)),
        };
        let error = match received {
            Ok((Some(held), facts)) => return Ok(Collected { content: held, facts }),
            Ok((None, facts)) => {
                let file = Arc::new(Reread::new(engine, output, file, metadata, &facts));
                return Ok(Collected { content: Content::OnEngine(file), facts });
            }
            Err(Failed::ForGood(why)) => return Err(Lost::new(output, why)),
            Err(Failed::ForNow(error)) => error,
        };
        let is_refused = matches!(&error, Error::Unexpected { status, .. } if status.is_client_error());
        if is_refused || tries_left == 0 {
            return Err(Lost::new(output, gone(engine, error)));
        }
        tracing::debug!(%error, %output, "fetching a file once more");
        sleep(PAUSE).await;
    }
}

/// Why a file can't be had of which the engine says this.
fn gone(engine: &Engine, error: Error) -> Why {
    let is_there = error.is_answer() || matches!(&*engine.state().borrow(), State::Up(_));
    if is_there { Why::Gone(Box::new(error)) } else { Why::EngineDied(Box::new(error)) }
}

/// A text that a node shows becomes a file.
async fn write_down(budget: &Budget, output: &Output, text: &str) -> Result<Collected, Lost> {
    let length = text.len() as u64;
    let lost = |why| Lost::new(output, why);
    let Some(memory) = budget.take(Some(length)).await else {
        return Err(lost(Why::TooLargeToHold { bytes: length, most: budget.bytes() }));
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut reader = Reader::new(Metadata::Keep, "text.txt");
    let read = reader.push(text.as_bytes(), &mut bytes).and_then(|()| reader.finish(&mut bytes));
    let facts = read.map_err(|error| lost(error.into()))?;
    Ok(Collected { content: Content::Whole { bytes: bytes.into(), memory }, facts })
}

/// Takes a file as it comes. `None`: it is larger than the budget, and looked at only.
async fn receive(
    mut download: Download,
    budget: &Budget,
    file: &File,
    metadata: Metadata,
) -> Result<(Option<Content>, Facts), Failed> {
    let length = download.length();
    let too_large = |bytes| Failed::ForGood(Why::TooLarge { bytes });
    if let Some(bytes) = length.filter(|bytes| *bytes > LARGEST) {
        return Err(too_large(bytes));
    }
    let mut memory = budget.take(length).await;
    let expected = length.filter(|_| memory.is_some()).and_then(|length| usize::try_from(length).ok());
    let mut kept = Vec::with_capacity(expected.unwrap_or_default());
    let mut reader = Reader::new(metadata, &file.filename);
    let limit = download.timeout();
    let reading = async {
        let mut bytes = 0;
        while let Some(part) = download.next().await.map_err(Failed::ForNow)? {
            bytes += part.len() as u64;
            if bytes > LARGEST {
                return Err(too_large(bytes));
            }
            reader.push(&part, &mut kept).map_err(|error| Failed::ForGood(error.into()))?;
            if kept.len() as u64 > budget.bytes() {
                (memory, kept) = (None, Vec::new());
            }
            if memory.is_none() {
                kept.clear();
            }
        }
        Ok(())
    };
    let Ok(read) = timeout(limit, reading).await else {
        let error = download.broken(format!("it was not there in full after {}s", limit.as_secs()));
        return Err(Failed::ForNow(error));
    };
    read?;
    let facts = reader.finish(&mut kept).map_err(|error| Failed::ForGood(error.into()))?;
    let held = memory.map(|memory| Content::Whole { bytes: kept.into(), memory });
    Ok((held, facts))
}
