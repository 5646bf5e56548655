//! The files beside this one, and those that code makes.

use crate::handmade;

/// Stands in each file that can hold a text.
pub(crate) const SECRET: &str = "sk-test-not-a-real-key";

/// A file under its name.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        vec![$(File { name: $name, bytes: include_bytes!(concat!("files/", $name)).to_vec() }),*]
    };
}

/// Files that other programs made; `files/make.sh` says how.
pub(crate) fn real() -> Vec<File> {
    files![
        "animated.gif",
        "animated.png",
        "animated.webp",
        "fast.mp4",
        "film.mkv",
        "film.mov",
        "film.mp4",
        "film.webm",
        "live.webm",
        "progressive.jpg",
        "sound.flac",
        "sound.m4a",
        "sound.mp3",
        "sound.ogg",
        "sound.opus",
        "sound.wav",
        "still.avif",
        "still.exr",
        "still.webp",
        "turned.jpg",
    ]
}

/// All of them.
pub(crate) fn all() -> Vec<File> {
    let mut files = real();
    files.extend([
        File { name: "still.png", bytes: handmade::png() },
        File { name: "scene.glb", bytes: handmade::glb() },
        File { name: "scene.gltf", bytes: br#"{"asset": {"version": "2.0"}}"#.to_vec() },
        File { name: "a.latent", bytes: handmade::safetensors() },
        File { name: "drawing.svg", bytes: handmade::svg() },
        File { name: "long.opus", bytes: handmade::long_opus() },
    ]);
    files
}

pub(crate) fn file(name: &str) -> Vec<u8> {
    all().into_iter().find(|file| file.name == name).expect("a file of that name").bytes
}

pub(crate) fn holds(file: &[u8], text: &[u8]) -> bool {
    file.windows(text.len()).any(|window| window == text)
}
