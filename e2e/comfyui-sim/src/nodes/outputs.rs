//! Nodes that a prompt may end in: what they write, and how they list it.
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Data, Inputs, Made, Video};
use crate::{
    exception::{Exception, NO_SPACE},
    files::{FileRef, Files, Folder},
    formats::{self, Texts},
    picture::Pictures,
    python, python_json,
};

/// Where a node writes, and what it puts into its files.
pub(crate) struct Saving<'a> {
    pub(crate) files: &'a Files,
    /// Keyword and text: the prompt, and what the client wants put beside it.
    pub(crate) texts: &'a Texts<'a>,
    /// Nothing can be written.
    pub(crate) disk_full: bool,
    /// What happens to the files, though the node is told that they are whole.
    pub(crate) spoilt: Option<Spoilt>,
}

/// How much of a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoilt {
    Half,
    Nothing,
}

/// Whether a class writes files.
pub(crate) fn writes(class: &str) -> bool {
    class.starts_with("Save") && class != "SaveImageWebsocket"
        || ["PreviewImage", "MaskPreview", "PreviewAudio", "Image Save", "VHS_VideoCombine"].contains(&class)
}

/// A node's last result goes on to whoever wants it, as newer releases have it.
pub(super) fn run(class: &str, inputs: &Inputs<'_>, saving: &Saving<'_>) -> Result<Option<Made>, Exception> {
    let prefix = inputs.text("filename_prefix");
    let save = |extension: &str, file: &[u8]| saving.save(Folder::Output, prefix, extension, file);
    let images = |folder, prefix| saving.pictures(folder, prefix, &*inputs.pictures("images")?);
    let texts = saving.texts;
    let shown = match class {
        "SaveLatent" => json!({"latents": [save("latent", &saving.latent(inputs)?)?]}),
        "SaveImage" => json!({"images": images(Folder::Output, prefix)?}),
        "SaveImageAdvanced" => json!({"images": saving.deep_pictures(prefix, inputs)?}),
        "PreviewImage" => json!({"images": images(Folder::Temp, "ComfyUI_temp_simul")?}),
        "MaskPreview" => {
            let pictures = inputs.mask("mask")?.to_pictures();
            json!({"images": saving.pictures(Folder::Temp, "ComfyUI_temp_simul", &pictures)?})
        }
        "Image Save" => json!({"images": saving.in_any_format(prefix, inputs)?}),
        "SaveAnimatedWEBP" => {
            let pictures = inputs.pictures("images")?;
            let file = save("webp", &formats::webp(&pictures, inputs.float("fps"), &formats::exif(texts)))?;
            json!({"images": [file], "animated": [pictures.pixels.len() != 1]})
        }
        "SaveAnimatedPNG" => {
            let file = inputs.pictures("images")?.to_animated_png(inputs.float("fps"), texts);
            let file = save("png", &file.map_err(|error| not_encoded(&error))?)?;
            json!({"images": [file], "animated": [true]})
        }
        "SaveWEBM" => {
            let file = formats::webm(&*inputs.pictures("images")?, inputs.float("fps"), texts);
            json!({"images": [save("webm", &file)?], "animated": [true]})
        }
        "SaveVideo" => json!({"images": [saving.video(prefix, inputs)?], "animated": [true]}),
        "SaveAudio" => json!({"audio": [save("flac", &formats::flac(&inputs.sound("audio")?, texts))?]}),
        "SaveAudioMP3" => json!({"audio": [save("mp3", &formats::mp3(&inputs.sound("audio")?, texts))?]}),
        "SaveAudioOpus" => json!({"audio": [save("opus", &formats::opus(&inputs.sound("audio")?, texts))?]}),
        "SaveAudioAdvanced" => {
            let sound = inputs.sound("audio")?;
            json!({"audio": [match inputs.text("format") {
                "mp3" => save("mp3", &formats::mp3(&sound, texts))?,
                "opus" => save("opus", &formats::opus(&sound, texts))?,
                _ => save("flac", &formats::flac(&sound, texts))?,
            }]})
        }
        "PreviewAudio" => {
            let file = formats::flac(&inputs.sound("audio")?, texts);
            json!({"audio": [saving.save(Folder::Temp, "ComfyUI_temp_simul", "flac", &file)?]})
        }
        "SaveGLB" => json!({"3d": [save("glb", &formats::glb(0, texts))?]}),
        "SaveText" => {
            let extension = Some(inputs.text("format")).filter(|format| !format.is_empty()).unwrap_or("txt");
            json!({"text": [inputs.text("text")], "files": [save(extension, inputs.text("text").as_bytes())?]})
        }
        "VHS_VideoCombine" => json!({"gifs": [saving.video_helper(prefix, inputs)?]}),
        "PreviewAny" => json!({"text": [any_as_text(inputs)]}),
        _ => return Ok(None),
    };
    let given = ["images", "samples", "video", "audio", "mask", "text", "source", "mesh"];
    let data = given.iter().find_map(|name| inputs.linked.get(name)).cloned();
    Ok(Some(Made { data: data.into_iter().collect(), shown: Some(shown) }))
}

impl Saving<'_> {
    fn save(&self, folder: Folder, prefix: &str, extension: &str, file: &[u8]) -> Result<FileRef, Exception> {
        let full = || std::io::Error::from_raw_os_error(NO_SPACE);
        let file = match self.spoilt {
            None => file,
            Some(Spoilt::Half) => &file[..file.len() / 2],
            Some(Spoilt::Nothing) => &[],
        };
        let saved = match self.disk_full {
            true => Err(full()),
            false => self.files.save(folder, prefix, extension, file),
        };
        saved
            .map_err(|error| Exception::of_saving(&error, extension))?
            .ok_or_else(|| outside(self.files, prefix))
    }

    fn pictures(&self, folder: Folder, prefix: &str, of: &Pictures) -> Result<Vec<FileRef>, Exception> {
        let save = |index| self.save(folder, prefix, "png", &png(of, index, self.texts)?);
        (0..of.pixels.len()).map(save).collect()
    }

    fn deep_pictures(&self, prefix: &str, inputs: &Inputs<'_>) -> Result<Vec<FileRef>, Exception> {
        let pictures = inputs.pictures("images")?;
        let file = |index| match inputs.text("format.bit_depth") {
            "16-bit" => pictures.to_deep_png(index, self.texts).map_err(|error| not_encoded(&error)),
            _ => png(&pictures, index, self.texts),
        };
        let save = |index| self.save(Folder::Output, prefix, "png", &file(index)?);
        (0..pictures.pixels.len()).map(save).collect()
    }

    fn in_any_format(&self, prefix: &str, inputs: &Inputs<'_>) -> Result<Vec<FileRef>, Exception> {
        let pictures = inputs.pictures("images")?;
        let extension = inputs.text("extension");
        let exif = formats::exif(self.texts);
        let file = |index: usize| match extension {
            "jpg" | "jpeg" => Ok(formats::jpeg(&pictures, index, &exif)),
            "webp" => Ok(formats::webp(&pictures.only(index), 1.0, &exif)),
            _ => png(&pictures, index, self.texts),
        };
        let save = |index| self.save(Folder::Output, prefix, extension, &file(index)?);
        (0..pictures.pixels.len()).map(save).collect()
    }

    /// What a loaded video's file was is forgotten: it is written anew.
    fn video(&self, prefix: &str, inputs: &Inputs<'_>) -> Result<FileRef, Exception> {
        let Some(Data::Video(Video { frames, fps })) = inputs.linked.get("video") else {
            return Err(Exception::not_subscriptable());
        };
        match inputs.text("format") {
            "webm" => self.save(Folder::Output, prefix, "webm", &formats::webm(frames, *fps, self.texts)),
            _ => self.save(Folder::Output, prefix, "mp4", &formats::mp4(frames, *fps, self.texts)),
        }
    }

    fn latent(&self, inputs: &Inputs<'_>) -> Result<Vec<u8>, Exception> {
        let metadata: Map<String, Value> =
            self.texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
        Ok(inputs.latent("samples")?.to_file(&json!(metadata)))
    }

    /// VideoHelper lists more about its one file.
    fn video_helper(&self, prefix: &str, inputs: &Inputs<'_>) -> Result<Value, Exception> {
        let pictures = inputs.pictures("images")?;
        let (format, rate) = (inputs.text("format"), inputs.float("frame_rate"));
        let (extension, file) = match format {
            "image/gif" => ("gif", formats::gif(&pictures, rate)),
            "image/webp" => ("webp", formats::webp(&pictures, rate, &formats::exif(self.texts))),
            "video/webm" => ("webm", formats::webm(&pictures, rate, self.texts)),
            _ => ("mp4", formats::mp4(&pictures, rate, self.texts)),
        };
        let save_output = inputs.value("save_output").is_none_or(|value| value != false);
        let folder = if save_output { Folder::Output } else { Folder::Temp };
        let file = self.save(folder, prefix, extension, &file)?;
        let path = self.files.directory(folder).join(&file.subfolder).join(&file.name);
        let mut listed = json!(file);
        listed["format"] = json!(format);
        listed["frame_rate"] = python_json::number(rate);
        listed["fullpath"] = json!(path);
        Ok(listed)
    }
}

/// One picture as a PNG file.
fn png(pictures: &Pictures, index: usize, texts: &Texts<'_>) -> Result<Vec<u8>, Exception> {
    pictures.to_png(index, texts).map_err(|error| not_encoded(&error))
}

fn not_encoded(error: &anyhow::Error) -> Exception {
    Exception::new("ValueError", format!("{error:#}"))
}

fn any_as_text(inputs: &Inputs<'_>) -> String {
    match (inputs.linked.get("source"), inputs.value("source")) {
        (_, Some(value)) => python::str(value),
        (Some(_), None) => "source exists, but could not be serialized.".to_owned(),
        (None, None) => "None".to_owned(),
    }
}

/// Words and paths as ComfyUI puts them.
fn outside(files: &Files, prefix: &str) -> Exception {
    let output = files.directory(Folder::Output);
    let folder = normal(&output.join(Path::new(prefix).parent().unwrap_or(Path::new(""))));
    let common: PathBuf =
        output.iter().zip(&folder).take_while(|(a, b)| a == b).map(|(part, _)| part).collect();
    let (output, folder, common) = (output.display(), folder.display(), common.display());
    let message = format!(
        "**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: {folder}\n         \
         output_dir: {output}\n         commonpath: {common}"
    );
    Exception::new("Exception", message)
}

/// Without `..`, as the text of the path has it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}
