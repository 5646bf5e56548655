//! What is done with the pixels of a picture before it is stored. It runs off the threads that others wait for, as it may
//! take seconds.

use media::{Facts, Format, Metadata, Reader};
use queue::Form;
use tokio::task::spawn_blocking;

use super::{Budget, Collected, Content, Lost, Why};
use crate::comfyui::Output;

/// Of formats with a loss, where the job does not say.
const DEFAULT_QUALITY: u8 = 90;

/// Whether every pixel is black. One that does not fit into memory is not: a black one is small.
pub(crate) async fn is_black(budget: &Budget, output: &Output, collected: &Collected) -> Result<bool, Lost> {
    let Content::Whole { bytes, .. } = &collected.content else { return Ok(false) };
    let (bytes, kind) = (bytes.clone(), collected.facts.media_type);
    let look = move || Ok(media::is_black(&bytes, kind)?);
    off_thread(budget, output, look).await.map(|is_black| is_black.unwrap_or(false))
}

/// Converts a still picture to the format that the job asks for; what is none stays as it is.
pub(crate) async fn converted(
    budget: &Budget,
    output: &Output,
    collected: Collected,
    form: Form,
) -> Result<Collected, Lost> {
    let Some(format) = form.format else { return Ok(collected) };
    let format = match format {
        queue::Format::Png => Format::Png,
        queue::Format::Webp => Format::Webp,
        queue::Format::Jpeg => Format::Jpeg,
        queue::Format::Avif => Format::Avif,
    };
    let (bytes, memory) = match collected.content {
        Content::Whole { bytes, memory } => (bytes, memory),
        Content::OnEngine(_) if is_still(&collected.facts) && format.takes(collected.facts.media_type) => {
            let bytes = collected.facts.bytes;
            return Err(Lost::new(output, Why::TooLargeToHold { bytes, most: budget.bytes() }));
        }
        content @ Content::OnEngine(_) => return Ok(Collected { content, ..collected }),
    };
    let quality = form.quality.unwrap_or(DEFAULT_QUALITY);
    let original = bytes.clone();
    let convert = move || {
        let Some(converted) = media::convert(&original, format, quality)? else { return Ok(None) };
        let mut whole = Vec::with_capacity(converted.bytes.len());
        let mut reader = Reader::new(Metadata::Keep, "");
        reader.push(&converted.bytes, &mut whole)?;
        let facts = reader.finish(&mut whole)?;
        Ok::<_, Why>(Some((whole, facts)))
    };
    let (bytes, facts) = match off_thread(budget, output, convert).await?.flatten() {
        Some((whole, facts)) => (whole.into(), facts),
        None => (bytes, collected.facts),
    };
    Ok(Collected { content: Content::Whole { bytes, memory }, facts })
}

fn is_still(facts: &Facts) -> bool {
    facts.frames.is_none_or(|frames| frames == 1)
}

/// `None`: it was cancelled, as the worker ends.
async fn off_thread<T: Send + 'static>(
    budget: &Budget,
    output: &Output,
    work: impl FnOnce() -> Result<T, Why> + Send + 'static,
) -> Result<Option<T>, Lost> {
    let _turn = budget.turn().await;
    match spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(Some(done)),
        Ok(Err(why)) => Err(Lost::new(output, why)),
        Err(_) => Ok(None),
    }
}
