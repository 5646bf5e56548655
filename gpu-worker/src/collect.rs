//! Takes files from the engine, one at a time and within a budget of memory.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use media::{BadFile, Facts, Metadata, Reader, Unconverted};
use queue::{Form, Reason};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    comfyui::{Content, Download, Engine, Error, File, Output, State},
    ending::Ending,
};

/// A file that came in part, or not at all, is fetched so often.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// Of formats with a loss, where the job does not say.
const DEFAULT_QUALITY: u8 = 90;
/// The budget is counted in so many bytes.
const PAGE: u32 = 4096;

/// Memory for files that are on their way from the engine to the bucket, over all tasks.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pages: Arc<Semaphore>,
    total: u32,
}

/// A whole file, and the memory it takes.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) bytes: Bytes,
    pub(crate) facts: Facts,
    _memory: OwnedSemaphorePermit,
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
    #[error("has {} MiB, and a worker takes at most {} (OUTPUT_BUDGET_MIB)", .bytes.div_ceil(1 << 20), .most >> 20)]
    TooLarge { bytes: u64, most: u64 },
}

/// One try.
enum Failed {
    /// It may work the next time.
    ForNow(Error),
    ForGood(Why),
}

impl Budget {
    pub(crate) fn new(mebibytes: u32) -> Self {
        let total = mebibytes.saturating_mul((1 << 20) / PAGE);
        Self { pages: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until there is room. `None`: it never will be. Of an unknown size it takes all there is.
    async fn take(&self, bytes: Option<u64>) -> Option<OwnedSemaphorePermit> {
        let pages =
            bytes.map_or(Some(self.total), |bytes| u32::try_from(bytes.div_ceil(PAGE.into())).ok())?;
        if pages > self.total {
            return None;
        }
        self.pages.clone().acquire_many_owned(pages.max(1)).await.ok()
    }

    fn bytes(&self) -> u64 {
        u64::from(self.total) * u64::from(PAGE)
    }
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
            Why::Gone(_) | Why::Bad(_) => Ending::doubted(Reason::OutputLost, self),
            Why::EngineDied(_) => Ending::crashed(self),
            Why::Unconverted(_) => Ending::rejected(Reason::NotConverted, self),
            Why::TooLarge { .. } => Ending::rejected(Reason::OutputTooLarge, self),
        }
    }

    /// An equal node made the file for an earlier prompt, and it is not there any more: made anew, it will be.
    pub(crate) fn is_stale(&self) -> bool {
        self.output.is_cached && matches!(self.why, Why::Gone(_) | Why::Bad(_))
    }
}

/// Fetches a file. Holds the task up while there is no room for it.
pub(crate) async fn collect(
    engine: &Engine,
    budget: &Budget,
    output: &Output,
    form: Form,
) -> Result<Collected, Lost> {
    let metadata = if form.keep_texts { Metadata::Keep } else { Metadata::Strip };
    let file = match &output.content {
        Content::File(file) => file,
        Content::Text(text) => return write_down(budget, output, text).await,
    };
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let received = match engine.open(file).await {
            Ok(download) => receive(download, budget, file, metadata).await,
            Err(error) => Err(Failed::ForNow(error)),
        };
        let error = match received {
            Ok(collected) => return Ok(collected),
            Err(Failed::ForGood(why)) => return Err(Lost::new(output, why)),
            Err(Failed::ForNow(error)) => error,
        };
        let is_refused = matches!(&error, Error::Unexpected { status, .. } if status.is_client_error());
        if is_refused || tries_left == 0 {
            let is_there = error.is_answer() || matches!(&*engine.state().borrow(), State::Up(_));
            let why = if is_there { Why::Gone(Box::new(error)) } else { Why::EngineDied(Box::new(error)) };
            return Err(Lost::new(output, why));
        }
        tracing::debug!(%error, %output, "fetching a file once more");
        sleep(PAUSE).await;
    }
}

/// A text that a node shows becomes a file.
async fn write_down(budget: &Budget, output: &Output, text: &str) -> Result<Collected, Lost> {
    let length = text.len() as u64;
    let lost = |why| Lost::new(output, why);
    let Some(memory) = budget.take(Some(length)).await else {
        return Err(lost(Why::TooLarge { bytes: length, most: budget.bytes() }));
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut reader = Reader::new(Metadata::Keep, "text.txt");
    let read = reader.push(text.as_bytes(), &mut bytes).and_then(|()| reader.finish(&mut bytes));
    let facts = read.map_err(|error| lost(error.into()))?;
    Ok(Collected { bytes: bytes.into(), facts, _memory: memory })
}

async fn receive(
    mut download: Download,
    budget: &Budget,
    file: &File,
    metadata: Metadata,
) -> Result<Collected, Failed> {
    let length = download.length();
    let most = budget.bytes();
    let too_large = |bytes| Failed::ForGood(Why::TooLarge { bytes, most });
    let Some(memory) = budget.take(length).await else { return Err(too_large(length.unwrap_or_default())) };
    let expected = usize::try_from(length.unwrap_or_default()).unwrap_or_default();
    let mut reader = Reader::new(metadata, &file.filename);
    let mut kept = Vec::with_capacity(expected);
    let limit = download.timeout();
    let reading = async {
        let mut bytes = 0;
        while let Some(part) = download.next().await.map_err(Failed::ForNow)? {
            bytes += part.len() as u64;
            if bytes > length.unwrap_or(most) {
                return Err(too_large(bytes));
            }
            reader.push(&part, &mut kept).map_err(|error| Failed::ForGood(error.into()))?;
        }
        Ok(())
    };
    let Ok(read) = timeout(limit, reading).await else {
        let error = download.broken(format!("it was not there in full after {}s", limit.as_secs()));
        return Err(Failed::ForNow(error));
    };
    read?;
    let facts = reader.finish(&mut kept).map_err(|error| Failed::ForGood(error.into()))?;
    Ok(Collected { bytes: kept.into(), facts, _memory: memory })
}

/// Whether every pixel is black; off the threads that others wait for, as a large black picture takes its time.
pub(crate) async fn is_black(output: &Output, collected: &Collected) -> Result<bool, Lost> {
    let (bytes, kind) = (collected.bytes.clone(), collected.facts.media_type);
    let look = move || Ok(media::is_black(&bytes, kind)?);
    off_thread(output, look).await.map(|is_black| is_black.unwrap_or(false))
}

/// Converts a still picture to the format that the job asks for; what is none stays as it is.
pub(crate) async fn converted(output: &Output, collected: Collected, form: Form) -> Result<Collected, Lost> {
    let Some(format) = form.format else { return Ok(collected) };
    let format = match format {
        queue::Format::Png => media::Format::Png,
        queue::Format::Webp => media::Format::Webp,
        queue::Format::Jpeg => media::Format::Jpeg,
        queue::Format::Avif => media::Format::Avif,
    };
    let quality = form.quality.unwrap_or(DEFAULT_QUALITY);
    let bytes = collected.bytes.clone();
    let convert = move || {
        let Some(converted) = media::convert(&bytes, format, quality)? else { return Ok(None) };
        let mut whole = Vec::with_capacity(converted.bytes.len());
        let mut reader = Reader::new(Metadata::Keep, "");
        reader.push(&converted.bytes, &mut whole)?;
        let facts = reader.finish(&mut whole)?;
        Ok::<_, Why>(Some((whole, facts)))
    };
    Ok(match off_thread(output, convert).await?.flatten() {
        Some((bytes, facts)) => Collected { bytes: bytes.into(), facts, ..collected },
        None => collected,
    })
}

/// `None`: it was cancelled, as the worker ends.
async fn off_thread<T: Send + 'static>(
    output: &Output,
    work: impl FnOnce() -> Result<T, Why> + Send + 'static,
) -> Result<Option<T>, Lost> {
    match spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(Some(done)),
        Ok(Err(why)) => Err(Lost::new(output, why)),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, PAGE};

    #[tokio::test]
    async fn what_is_larger_than_the_budget_never_fits_and_the_rest_waits() {
        let budget = Budget::new(1);
        assert!(budget.take(Some((1 << 20) + 1)).await.is_none());
        let all = budget.take(Some(1 << 20)).await.expect("it fits");
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(Some(PAGE.into())).await.is_some() }
        });
        assert_eq!(budget.pages.available_permits(), 0);
        drop(all);
        assert!(waiting.await.expect("it ends"));
        let unknown = budget.take(None).await.expect("it fits");
        assert_eq!(budget.pages.available_permits(), 0);
        drop(unknown);
    }
}
