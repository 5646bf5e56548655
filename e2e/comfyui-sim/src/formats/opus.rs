//! Opus in Ogg: packets of silence after the texts.
use super::{Sound, Texts, flac::comments};

/// A packet of 20 ms: CELT, the full band, two channels, silence.
const SILENCE: [u8; 3] = [0xFC, 0xFF, 0xFE];
/// Samples in it: Opus counts 48,000 a second.
const PACKET: u64 = 960;
/// Packets on a page, each of one segment.
const ON_PAGE: u64 = 200;
/// Bytes of a packet that is longer than a page, on each of its pages.
const FULL_PAGE: usize = 255 * 255;
const CONTINUES: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// An Ogg file.
pub(crate) fn opus(sound: &Sound, texts: &Texts<'_>) -> Vec<u8> {
    let mut stream = Ogg::default();
    stream.packet(FIRST, b"OpusHead\x01\x02\0\0\x80\xBB\0\0\0\0\0");
    stream.packet(0, &[b"OpusTags", comments(texts).as_slice()].concat());
    let packets = sound.samples(48_000).div_ceil(PACKET).clamp(1, 50_000);
    for first in (0..packets).step_by(usize::try_from(ON_PAGE).unwrap_or(1)) {
        let count = ON_PAGE.min(packets - first);
        let end = first + count;
        let lengths = vec![3; usize::try_from(count).unwrap_or_default()];
        let kind = if end == packets { LAST } else { 0 };
        stream.page(kind, end * PACKET, &lengths, &SILENCE.repeat(lengths.len()));
    }
    stream.file
}

#[derive(Default)]
struct Ogg {
    file: Vec<u8>,
    pages: u32,
}

impl Ogg {
    /// A packet on pages of its own.
    fn packet(&mut self, kind: u8, packet: &[u8]) {
        let mut rest = packet;
        let mut kind = kind;
        loop {
            let (now, later) = rest.split_at(rest.len().min(FULL_PAGE));
            let mut lengths = vec![255; now.len() / 255];
            // A packet ends with a segment that is not full.
            if now.len() < FULL_PAGE {
                lengths.push(u8::try_from(now.len() % 255).unwrap_or(0));
            }
            let ends = now.len() < FULL_PAGE;
            // Where no packet ends, there is no position.
            self.page(kind, if ends { 0 } else { u64::MAX }, &lengths, now);
            if ends {
                return;
            }
            (rest, kind) = (later, CONTINUES);
        }
    }

    fn page(&mut self, kind: u8, position: u64, lengths: &[u8], content: &[u8]) {
        let count = u8::try_from(lengths.len()).unwrap_or(u8::MAX);
        let mut page = [
            &b"OggS\0"[..],
            &[kind],
            &position.to_le_bytes(),
            b"simu",
            &self.pages.to_le_bytes(),
            &[0; 4],
            &[count],
            lengths,
            content,
        ]
        .concat();
        let check = crc(&page).to_le_bytes();
        page[22..26].copy_from_slice(&check);
        self.file.extend(page);
        self.pages += 1;
    }
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |mut crc: u32, byte| {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 0 { crc << 1 } else { crc << 1 ^ 0x04C1_1DB7 };
        }
        crc
    })
}
