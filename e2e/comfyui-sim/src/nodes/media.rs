//! Videos and sounds. What is in a file that was not made here is not read; its bytes decide how it looks and sounds.
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Data, Inputs, Made, Video, images::read};
use crate::{
    exception::Exception,
    files::Files,
    formats::{self, Sound},
    picture::Pictures,
    python,
};

pub(super) fn run(class: &str, inputs: &Inputs<'_>, files: &Files) -> Result<Option<Made>, Exception> {
    Ok(Some(match class {
        "CreateVideo" => {
            Data::Video(Video { frames: inputs.pictures("images")?, fps: inputs.float("fps") }).into()
        }
        "LoadVideo" => Data::Video(video(&read(files, inputs.text("file"))?)?).into(),
        "GetVideoComponents" => {
            let Some(Data::Video(Video { frames, fps })) = inputs.linked.get("video") else {
                return Err(Exception::not_subscriptable());
            };
            let seconds = python::float_of(frames.pixels.len()) / fps.max(0.01);
            let sound = Sound { seconds, sample_rate: 44_100, value: 0 };
            let (data, sound) = (Data::Pictures(frames.clone()), Data::Audio(sound));
            Made { data: vec![data, sound, Data::Value(json!(fps))], shown: None }
        }
        "EmptyAudio" => sound(inputs.float("duration"), inputs.int("sample_rate"), 0),
        "LoadAudio" => {
            let file = read(files, inputs.text("audio"))?;
            let known: [&[u8]; 5] = [b"RIFF", b"fLaC", b"ID3", b"OggS", b"\xFF\xFB"];
            if !known.iter().any(|head| file.starts_with(head)) {
                let message = "[Errno 1094995529] Invalid data found when processing input";
                return Err(Exception::new("av.error.InvalidDataError", message));
            }
            let [high, low, ..] = hash(&file);
            sound(1.0, 44_100, i16::from_be_bytes([high, low]))
        }
        "EmptyLatentAudio" | "EmptyAceStepLatentAudio" => {
            crate::latent::Latent::empty(1, inputs.int::<usize>("seconds").clamp(1, 600), 8).into()
        }
        "VAEDecodeAudio" => {
            let latent = inputs.latent("samples")?;
            let [high, low, _] = Pictures::decode(&latent).mean();
            sound(python::float_of(latent.width), 44_100, i16::from_be_bytes([high, low]))
        }
        _ => return Ok(None),
    }))
}

fn sound(seconds: f64, sample_rate: u32, value: i16) -> Made {
    Data::Audio(Sound { seconds, sample_rate, value }).into()
}

fn hash(file: &[u8]) -> [u8; 32] {
    Sha256::digest(file).into()
}

/// As many frames as the file has, in a colour of its bytes.
fn video(file: &[u8]) -> Result<Video, Exception> {
    let is_webm = file.starts_with(&[0x1A, 0x45, 0xDF, 0xA3]);
    let about = formats::about(file).or(is_webm.then_some((64, 64, 8)));
    let (width, height, frames) = about.ok_or_else(|| {
        Exception::new(
            "av.error.InvalidDataError",
            "[Errno 1094995529] Invalid data found when processing input",
        )
    })?;
    let [red, green, blue, ..] = hash(file);
    let frames = Pictures::filled(frames, width, height, [red, green, blue]);
    Ok(Video { frames: Arc::new(frames), fps: 24.0 })
}
