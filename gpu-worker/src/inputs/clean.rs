//! What the engine gets of a stranger's file: a PNG of a picture's pixels, or a file of a kind that its nodes load.

use bytes::Bytes;
use media::{BadInput, Limits, MediaType, check_input, clean_input};
use queue::InputKind;

/// A file for the engine, and the extension by which its nodes know it. What a file is, its bytes say: not its name, nor
/// its content type. Takes as long as its pixels take: to be called where nobody waits.
pub(super) fn clean(file: &Bytes, kind: InputKind) -> Result<(Bytes, &'static str), BadInput> {
    let found = MediaType::sniff(file, "");
    // The limit of bytes is the input's own, and was kept.
    let limits = Limits { bytes: u64::MAX, ..Limits::default() };
    if kind == InputKind::Picture || found.is_picture() {
        return Ok((clean_input(file, &limits)?.bytes.into(), MediaType::Png.extension()));
    }
    check_input(file, "", &limits)?;
    Ok((file.clone(), found.extension()))
}
