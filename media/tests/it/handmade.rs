//! Files made by code.

use png::{BitDepth, ColorType, Encoder, chunk::ChunkType};

use crate::files::SECRET;

/// 2 × 2 pixels, with every kind of text.
pub(crate) fn png() -> Vec<u8> {
    png_of(ColorType::Rgb, BitDepth::Eight, &[7; 12])
}

pub(crate) fn png_of(color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 2, 2);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.add_text_chunk("prompt".into(), SECRET.into()).expect("tEXt");
    encoder.add_ztxt_chunk("workflow".into(), SECRET.into()).expect("zTXt");
    encoder.add_itxt_chunk("parameters".into(), SECRET.into()).expect("iTXt");
    let mut writer = encoder.write_header().expect("a header");
    writer.write_chunk(ChunkType(*b"eXIf"), SECRET.as_bytes()).expect("a chunk");
    writer.write_chunk(ChunkType(*b"gAMA"), &45_455u32.to_be_bytes()).expect("a chunk");
    writer.write_image_data(data).expect("pixels");
    writer.write_chunk(ChunkType(*b"comf"), SECRET.as_bytes()).expect("a chunk");
    writer.finish().expect("a file");
    file
}

pub(crate) fn glb() -> Vec<u8> {
    let mut json = format!(
        r#"{{"asset": {{"version": "2.0", "extras": {{"prompt": "{SECRET}"}}}}, "extras": ["{SECRET}"], "buffers": [{{"byteLength": 4}}]}}"#
    )
    .into_bytes();
    json.resize(json.len().next_multiple_of(4), b' ');
    let mut file = b"glTF\x02\0\0\0".to_vec();
    file.extend(u32::try_from(12 + 8 + json.len() + 8 + 4).expect("small").to_le_bytes());
    file.extend(u32::try_from(json.len()).expect("small").to_le_bytes());
    file.extend(b"JSON");
    file.extend(json);
    file.extend(b"\x04\0\0\0BIN\0\x01\x02\x03\x04");
    file
}

pub(crate) fn safetensors() -> Vec<u8> {
    let json = format!(
        r#"{{"__metadata__":{{"prompt":"{SECRET}"}},"latent_tensor":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#
    );
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.into_bytes());
    file.extend([1; 8]);
    file
}

pub(crate) fn svg() -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"2\" height=\"2\">\n  <metadata>\n    \
         <![CDATA[\n{{\"prompt\": \"{SECRET}</metadata>\"}}\n    ]]>\n  </metadata>\n<rect width=\"1\" height=\"1\"/>\n</svg>\n"
    )
    .into_bytes()
}

/// Opus with comments that take several pages, as large graphs do.
pub(crate) fn long_opus() -> Vec<u8> {
    let short = include_bytes!("files/sound.opus");
    let starts: Vec<usize> = (0..short.len()).filter(|at| short[*at..].starts_with(b"OggS")).collect();
    let serial = &short[14..18];
    let comment = format!("prompt={}", SECRET.repeat(8000));
    let mut packet = b"OpusTags\x04\0\0\0test\x01\0\0\0".to_vec();
    packet.extend(u32::try_from(comment.len()).expect("small").to_le_bytes());
    packet.extend(comment.into_bytes());
    let mut file = short[..starts[1]].to_vec();
    let (mut number, mut rest) = (1u32, packet.as_slice());
    loop {
        let (part, more) = rest.split_at(rest.len().min(255 * 255));
        let mut table = vec![255; part.len() / 255];
        if more.is_empty() {
            table.push(u8::try_from(part.len() % 255).expect("small"));
        }
        page(&mut file, u8::from(number > 1), 0, serial, number, &table, part);
        (number, rest) = (number + 1, more);
        if rest.is_empty() {
            break;
        }
    }
    for (n, start) in starts.iter().enumerate().skip(2) {
        let old = &short[*start..starts.get(n + 1).copied().unwrap_or(short.len())];
        let content = 27 + usize::from(old[26]);
        let granule = u64::from_le_bytes(old[6..14].try_into().expect("8 bytes"));
        page(&mut file, old[5], granule, serial, number, &old[27..content], &old[content..]);
        number += 1;
    }
    file
}

fn page(
    file: &mut Vec<u8>,
    flags: u8,
    granule: u64,
    serial: &[u8],
    number: u32,
    table: &[u8],
    content: &[u8],
) {
    let start = file.len();
    file.extend(b"OggS\0");
    file.push(flags);
    file.extend(granule.to_le_bytes());
    file.extend(serial);
    file.extend(number.to_le_bytes());
    file.extend([0; 4]);
    file.push(u8::try_from(table.len()).expect("small"));
    file.extend(table);
    file.extend(content);
    let checksum = file[start..].iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 }
        })
    });
    file[start + 22..start + 26].copy_from_slice(&checksum.to_le_bytes());
}
