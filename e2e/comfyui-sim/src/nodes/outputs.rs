//! Nodes that a prompt may end in: what they write, and how they list it.
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Data, Inputs, Made};
use crate::{
    exception::{Exception, NO_SPACE},
    files::{FileRef, Files, Folder},
    formats,
    picture::Pictures,
    python, python_json,
};

/// Where a node writes, and what it puts into its files.
pub(crate) struct Saving<'a> {
    pub(crate) files: &'a Files,
    /// Keyword and text: the prompt, and what the client wants put beside it.
    pub(crate) texts: &'a [(&'a str, String)],
    /// Nothing can be written.
    pub(crate) disk_full: bool,
}

/// Whether a class writes files.
pub(crate) fn writes(class: &str) -> bool {
    class.starts_with("Save") && class != "SaveImageWebsocket"
        || ["PreviewImage", "Image Save", "VHS_VideoCombine"].contains(&class)
}

pub(super) fn run(class: &str, inputs: &Inputs<'_>, saving: &Saving<'_>) -> Result<Option<Made>, Exception> {
    let prefix = inputs.text("filename_prefix");
    let save = |extension: &str, file: &[u8]| saving.save(Folder::Output, prefix, extension, file);
    let animated = |file: FileRef| json!({"images": [file], "animated": [true]});
    let shown = match class {
        "SaveLatent" => json!({"latents": [save("latent", &saving.latent(inputs)?)?]}),
        "SaveImage" => json!({"images": saving.pictures(Folder::Output, prefix, inputs)?}),
        "PreviewImage" => json!({"images": saving.pictures(Folder::Temp, "ComfyUI_temp_simul", inputs)?}),
        "Image Save" => json!({"images": saving.in_any_format(prefix, inputs)?}),
        "SaveAnimatedWEBP" => {
            let pictures = inputs.pictures("images")?;
            let file = save("webp", &formats::webp(&pictures, inputs.float("fps")))?;
            json!({"images": [file], "animated": [pictures.pixels.len() != 1]})
        }
        // An animated PNG begins with a plain one, and programs that know no better show that.
        "SaveAnimatedPNG" => animated(save("png", &png(&*inputs.pictures("images")?, 0, saving.texts)?)?),
        "SaveWEBM" => animated(save("webm", &formats::webm(&*inputs.pictures("images")?))?),
        "SaveVideo" => animated(save("mp4", &formats::mp4(&*inputs.pictures("video")?))?),
        "SaveAudio" | "SaveAudioMP3" => {
            let Some(Data::Audio { seconds, sample_rate }) = inputs.linked.get("audio") else {
                return Err(Exception::not_subscriptable());
            };
            let file = match class {
                "SaveAudio" => save("flac", &formats::flac(*seconds, *sample_rate))?,
                _ => save("mp3", &formats::mp3(*seconds))?,
            };
            json!({"audio": [file]})
        }
        "VHS_VideoCombine" => json!({"gifs": [saving.video_helper(prefix, inputs)?]}),
        "PreviewAny" => json!({"text": [any_as_text(inputs)]}),
        _ => return Ok(None),
    };
    Ok(Some(Made { data: Vec::new(), shown: Some(shown) }))
}

impl Saving<'_> {
    fn save(&self, folder: Folder, prefix: &str, extension: &str, file: &[u8]) -> Result<FileRef, Exception> {
        let full = || std::io::Error::from_raw_os_error(NO_SPACE);
        let saved = match self.disk_full {
            true => Err(full()),
            false => self.files.save(folder, prefix, extension, file),
        };
        saved
            .map_err(|error| Exception::of_saving(&error, extension))?
            .ok_or_else(|| outside(self.files, prefix))
    }

    fn pictures(&self, folder: Folder, prefix: &str, inputs: &Inputs<'_>) -> Result<Vec<FileRef>, Exception> {
        let pictures = inputs.pictures("images")?;
        let save = |index| self.save(folder, prefix, "png", &png(&pictures, index, self.texts)?);
        (0..pictures.pixels.len()).map(save).collect()
    }

    fn in_any_format(&self, prefix: &str, inputs: &Inputs<'_>) -> Result<Vec<FileRef>, Exception> {
        let pictures = inputs.pictures("images")?;
        let extension = inputs.text("extension");
        let file = |index: usize| match extension {
            "jpg" | "jpeg" => Ok(formats::jpeg(&pictures, index)),
            "webp" => Ok(formats::webp(&pictures.only(index), 1.0)),
            _ => png(&pictures, index, self.texts),
        };
        let save = |index| self.save(Folder::Output, prefix, extension, &file(index)?);
        (0..pictures.pixels.len()).map(save).collect()
    }

    fn latent(&self, inputs: &Inputs<'_>) -> Result<Vec<u8>, Exception> {
        let metadata: Map<String, Value> =
            self.texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
        Ok(inputs.latent("samples")?.to_file(&json!(metadata)))
    }

    /// VideoHelper lists more about its one file.
    fn video_helper(&self, prefix: &str, inputs: &Inputs<'_>) -> Result<Value, Exception> {
        let pictures = inputs.pictures("images")?;
        let format = inputs.text("format");
        let (extension, file) = match format {
            "image/webp" => ("webp", formats::webp(&pictures, inputs.float("frame_rate"))),
            "video/webm" => ("webm", formats::webm(&pictures)),
            _ => ("mp4", formats::mp4(&pictures)),
        };
        let save_output = inputs.value("save_output").is_none_or(|value| value != false);
        let folder = if save_output { Folder::Output } else { Folder::Temp };
        let file = self.save(folder, prefix, extension, &file)?;
        let path = self.files.directory(folder).join(&file.subfolder).join(&file.name);
        let mut listed = json!(file);
        listed["format"] = json!(format);
        listed["frame_rate"] = python_json::number(inputs.float("frame_rate"));
        listed["fullpath"] = json!(path);
        Ok(listed)
    }
}

/// One picture as a PNG file.
fn png(pictures: &Pictures, index: usize, texts: &[(&str, String)]) -> Result<Vec<u8>, Exception> {
    pictures.to_png(index, texts).map_err(|error| Exception::new("ValueError", format!("{error:#}")))
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
