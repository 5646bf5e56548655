//! What an AVIF picture's `meta` box says: how large the picture is, and where its texts are.

use crate::walk::{be, be32, name};

/// Bytes of the file that hold a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blank {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A box within others' content: its name, and where its own content is.
#[derive(Debug, Clone, Copy)]
struct Inner {
    name: [u8; 4],
    start: usize,
    end: usize,
}

/// Pixels: the largest that is said, as parts of a picture say theirs too.
pub(crate) fn size(meta: &[u8]) -> Option<(u32, u32)> {
    let properties = inner(meta, 4, meta.len()).into_iter().find(|part| part.name == *b"iprp")?;
    let parts = inner(meta, properties.start, properties.end);
    let container = parts.into_iter().find(|part| part.name == *b"ipco")?;
    let sizes = inner(meta, container.start, container.end).into_iter().filter(|part| part.name == *b"ispe");
    let sizes = sizes.filter_map(|part| be32(meta, part.start + 4).zip(be32(meta, part.start + 8)));
    sizes.max_by_key(|(width, height)| u64::from(*width) * u64::from(*height))
}

/// Where EXIF and XMP are. Those within `meta` itself are blanked. Items that hold them are renamed, so that no reader
/// takes the zeros for EXIF. `None`: the box says it in a way that is not known here.
pub(crate) fn texts(meta: &mut [u8]) -> Option<Vec<Blank>> {
    let parts = inner(meta, 4, meta.len());
    let part = |of: &[u8; 4]| parts.iter().copied().find(|part| part.name == *of);
    let Some(infos) = part(b"iinf") else { return Some(Vec::new()) };
    let skipped = if meta.get(infos.start) == Some(&0) { 6 } else { 8 };
    let mut items = Vec::new();
    for info in inner(meta, infos.start + skipped, infos.end) {
        let version = *meta.get(info.start)?;
        let (id, at) = match version {
            2 => (be(meta, info.start + 4, 2)?, info.start + 8),
            3 => (be(meta, info.start + 4, 4)?, info.start + 10),
            _ => return None,
        };
        if matches!(&name(meta, at), b"Exif" | b"mime") {
            items.push(id);
            meta.get_mut(at..at + 4)?.copy_from_slice(b"free");
        }
    }
    if items.is_empty() {
        return Some(Vec::new());
    }
    let (mut blanks, mut inside) = (Vec::new(), Vec::new());
    for (id, is_inside, start, end) in places(meta, part(b"iloc")?)? {
        match (items.contains(&id), is_inside) {
            (true, false) => blanks.push(Blank { start, end }),
            (true, true) => inside.push((usize::try_from(start).ok()?, usize::try_from(end).ok()?)),
            (false, _) => {}
        }
    }
    for (start, end) in inside {
        let data = part(b"idat")?;
        meta.get_mut(data.start.checked_add(start)?..data.start.checked_add(end)?)?.fill(0);
    }
    Some(blanks)
}

/// The items' extents, by the `iloc` box: item, whether they are within `meta`, start and end.
fn places(meta: &[u8], iloc: Inner) -> Option<Vec<(u64, bool, u64, u64)>> {
    let version = *meta.get(iloc.start)?;
    let sizes = be(meta, iloc.start + 4, 2)?;
    let nibble = |shift: u32| usize::try_from(sizes >> shift & 15).ok();
    let (offset_size, length_size, base_size) = (nibble(12)?, nibble(8)?, nibble(4)?);
    if offset_size + length_size == 0 {
        return None;
    }
    let index_size = if version > 0 { nibble(0)? } else { 0 };
    let id_size = if version < 2 { 2 } else { 4 };
    let mut at = iloc.start + 6;
    let mut take = |size: usize| {
        let number = be(meta, at, size).filter(|_| at + size <= iloc.end);
        at += size;
        number
    };
    let mut places = Vec::new();
    for _ in 0..take(id_size)? {
        let id = take(id_size)?;
        let method = if version > 0 { take(2)? & 15 } else { 0 };
        let _reference = take(2)?;
        let base = take(base_size)?;
        for _ in 0..take(2)? {
            let _index = take(index_size)?;
            let start = base.checked_add(take(offset_size)?)?;
            let length = take(length_size)?;
            places.push((id, method == 1, start, start.checked_add(length)?));
        }
    }
    Some(places)
}

/// The boxes between two places. Ends at the first that is none.
fn inner(bytes: &[u8], start: usize, end: usize) -> Vec<Inner> {
    let mut found = Vec::new();
    let mut at = start;
    while let Some(size) = be32(bytes, at).and_then(|size| usize::try_from(size).ok()) {
        let (Some(next), true) = (at.checked_add(size), size >= 8) else { break };
        if next > end {
            break;
        }
        found.push(Inner { name: name(bytes, at + 4), start: at + 8, end: next });
        at = next;
    }
    found
}
