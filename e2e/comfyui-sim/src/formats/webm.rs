//! WebM: grey frames of VP8, with the texts as tags, in capitals, as ffmpeg writes them.
use super::Texts;
use crate::picture::Pictures;

/// Milliseconds of a cluster, within which frames are numbered by 16 bits.
const CLUSTER: f64 = 5000.0;

/// A WebM file of `fps` frames a second.
pub(crate) fn webm(pictures: &Pictures, fps: f64, texts: &Texts<'_>) -> Vec<u8> {
    let frames = pictures.pixels.len();
    let milliseconds = |frame: usize| crate::python::float_of(frame) * 1000.0 / fps.max(0.01);
    let head = element(
        &[0x1A, 0x45, 0xDF, 0xA3],
        &[
            number(&[0x42, 0x86], 1),
            number(&[0x42, 0xF7], 1),
            number(&[0x42, 0xF2], 4),
            number(&[0x42, 0xF3], 8),
            element(&[0x42, 0x82], &[b"webm".to_vec()]),
            number(&[0x42, 0x87], 2),
            number(&[0x42, 0x85], 2),
        ],
    );
    let information = element(
        &[0x15, 0x49, 0xA9, 0x66],
        &[
            number(&[0x2A, 0xD7, 0xB1], 1_000_000),
            element(&[0x4D, 0x80], &[b"comfyui-sim".to_vec()]),
            element(&[0x57, 0x41], &[b"comfyui-sim".to_vec()]),
            element(&[0x44, 0x89], &[milliseconds(frames).to_be_bytes().to_vec()]),
        ],
    );
    let size = [number(&[0xB0], pictures.width as u64), number(&[0xBA], pictures.height as u64)];
    let track = element(
        &[0xAE],
        &[
            number(&[0xD7], 1),
            number(&[0x73, 0xC5], 1),
            number(&[0x83], 1),
            element(&[0x86], &[b"V_VP8".to_vec()]),
            number(&[0x23, 0xE3, 0x83], whole(milliseconds(1) * 1e6)),
            element(&[0xE0], &size),
        ],
    );
    let mut segment = vec![information, element(&[0x16, 0x54, 0xAE, 0x6B], &[track]), tags(texts)];
    let frame = vp8(pictures.width, pictures.height);
    let mut cluster: Option<(f64, Vec<Vec<u8>>)> = None;
    for index in 0..frames {
        let at = milliseconds(index);
        let (start, blocks) = match &mut cluster {
            Some((start, blocks)) if at - *start < CLUSTER => (start, blocks),
            _ => {
                segment.extend(cluster.take().map(|(_, blocks)| element(&[0x1F, 0x43, 0xB6, 0x75], &blocks)));
                let (start, blocks) = cluster.insert((at, vec![number(&[0xE7], whole(at))]));
                (start, blocks)
            }
        };
        let [.., a, b] = whole(at - *start).to_be_bytes();
        blocks.push(element(&[0xA3], &[vec![0x81, a, b, 0x80], frame.clone()]));
    }
    segment.extend(cluster.map(|(_, blocks)| element(&[0x1F, 0x43, 0xB6, 0x75], &blocks)));
    [head, element(&[0x18, 0x53, 0x80, 0x67], &segment)].concat()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times are far below 2^53")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn tags(texts: &Texts<'_>) -> Vec<u8> {
    let tag = |(keyword, text): &(&str, String)| {
        let name = element(&[0x45, 0xA3], &[keyword.to_uppercase().into_bytes()]);
        element(&[0x67, 0xC8], &[name, element(&[0x44, 0x87], &[text.clone().into_bytes()])])
    };
    let simple: Vec<Vec<u8>> =
        std::iter::once(element(&[0x63, 0xC0], &[])).chain(texts.iter().map(tag)).collect();
    element(&[0x12, 0x54, 0xC3, 0x67], &[element(&[0x73, 0x73], &simple)])
}

fn element(id: &[u8], parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    // A length of eight bytes.
    let length = (content.len() as u64 | 1 << 56).to_be_bytes();
    [id, &length, &content].concat()
}

fn number(id: &[u8], value: u64) -> Vec<u8> {
    element(id, &[value.to_be_bytes().to_vec()])
}

/// A key frame of zeros. The decoder of VP8's arithmetic code reads zeros as the likelier or first choice throughout: no
/// filter, no change of any probability, every block predicted from its neighbours, and nothing added to that.
fn vp8(width: usize, height: usize) -> Vec<u8> {
    let blocks = width.div_ceil(16) * height.div_ceil(16);
    let first = 256 + blocks * 2;
    // A key frame, version 0, shown; the size of the first part.
    let [a, b, c, _] = u32::try_from(1 << 4 | first << 5).unwrap_or(u32::MAX).to_le_bytes();
    let size = |size: usize| u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes();
    [&[a, b, c, 0x9D, 0x01, 0x2A][..], &size(width), &size(height), &vec![0; first + 64 + blocks * 4]]
        .concat()
}
