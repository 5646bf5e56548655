//! ComfyUI's folders of files: input, output and temp.
use std::{
    io,
    path::{Component, Path, PathBuf},
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{exception::NO_SPACE, options::Folders};

/// One of the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Folder {
    Input,
    Output,
    Temp,
}

impl Folder {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "input" => Some(Self::Input),
            "output" => Some(Self::Output),
            "temp" => Some(Self::Temp),
            _ => None,
        }
    }
}

/// The place of a file, as ComfyUI reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FileRef {
    #[serde(rename = "filename")]
    pub(crate) name: String,
    pub(crate) subfolder: String,
    #[serde(rename = "type")]
    pub(crate) folder: Folder,
}

/// A file in the input folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputFile {
    /// Its name, with the subfolder before it.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// The folders.
#[derive(Debug)]
pub(crate) struct Files {
    input: PathBuf,
    output: PathBuf,
    temp: PathBuf,
    /// The number of bytes that all files together may have; 0: no limit but the disk's.
    limit: u64,
}

impl Files {
    /// Uses the folders that `folders` names, and folders below `root` for the others. Empties the temp folder, as
    /// ComfyUI does at its start.
    pub(crate) fn new(root: &Path, folders: &Folders, limit: u64) -> io::Result<Self> {
        let directory = |named: &Option<PathBuf>, name| named.clone().unwrap_or_else(|| root.join(name));
        // ComfyUI's option names the parent of the temp folder.
        let temp = folders.temp.as_ref().map(|parent| parent.join("temp"));
        let files = Self {
            input: directory(&folders.input, "input"),
            output: directory(&folders.output, "output"),
            temp: directory(&temp, "temp"),
            limit,
        };
        match std::fs::remove_dir_all(&files.temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for directory in [&files.input, &files.output, &files.temp] {
            std::fs::create_dir_all(directory)?;
        }
        Ok(files)
    }

    pub(crate) fn directory(&self, folder: Folder) -> PathBuf {
        match folder {
            Folder::Input => &self.input,
            Folder::Output => &self.output,
            Folder::Temp => &self.temp,
        }
        .clone()
    }

    /// The path of a subfolder; `None` if it is outside the folder.
    pub(crate) fn subfolder(&self, folder: Folder, subfolder: &str) -> Option<PathBuf> {
        let stays_inside = Path::new(subfolder).components().all(|part| matches!(part, Component::Normal(_)));
        stays_inside.then(|| self.directory(folder).join(subfolder))
    }

    /// The path of a file whose name may end with ` [output]` or the like; otherwise it is in the input folder.
    pub(crate) fn find_annotated(&self, name: &str) -> Option<PathBuf> {
        let (name, folder) = annotated(name);
        let path = self.subfolder(folder.unwrap_or(Folder::Input), name)?;
        path.is_file().then_some(path)
    }

    /// The names of the files directly in the input folder, sorted.
    pub(crate) fn input_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory(Folder::Input)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The files in the input folder and below it, by name, with their bytes and SHA-256.
    pub(crate) fn inputs(&self) -> Vec<InputFile> {
        let mut files = Vec::new();
        collect(&self.input, "", &mut files);
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files
    }

    /// Writes a file with the next free name `<prefix>_00001_.<extension>`. A prefix with slashes names a subfolder.
    /// Returns `None` if the subfolder is outside the folder.
    pub(crate) fn save(
        &self,
        folder: Folder,
        prefix: &str,
        extension: &str,
        bytes: &[u8],
    ) -> io::Result<Option<FileRef>> {
        let (subfolder, base) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let Some(directory) = self.subfolder(folder, subfolder) else { return Ok(None) };
        std::fs::create_dir_all(&directory)?;
        // The number is counted each time, so numbers of removed files are used again.
        let number = highest_number(&directory, base) + 1;
        let name = format!("{base}_{number:05}_.{extension}");
        self.write(&directory.join(&name), bytes)?;
        Ok(Some(FileRef { name, subfolder: subfolder.to_owned(), folder }))
    }

    /// The number and the total bytes of the files that prompts made.
    pub(crate) fn kept(&self) -> (u64, u64) {
        let (output, temp) = (files_below(&self.output), files_below(&self.temp));
        (output.0 + temp.0, output.1 + temp.1)
    }

    /// Writes a file if there is room for it.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let full = || io::Error::from_raw_os_error(NO_SPACE);
        let used = || self.kept().1 + files_below(&self.input).1;
        if self.limit > 0 && used() + bytes.len() as u64 > self.limit {
            return Err(full());
        }
        std::fs::write(path, bytes).inspect_err(|_| {
            // PIL and safetensors leave no part of a file that did not fit.
            let _ = std::fs::remove_file(path);
        })
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<InputFile>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else if let Ok(content) = std::fs::read(entry.path()) {
            let sha256 = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
            files.push(InputFile { name, bytes: content.len() as u64, sha256 });
        }
    }
}

/// The number and the total bytes of the files in a directory and below it.
fn files_below(directory: &Path) -> (u64, u64) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => files_below(&entry.path()),
        Ok(about) => (1, about.len()),
        // The file was removed in the meantime.
        Err(_) => (0, 0),
    });
    files.fold((0, 0), |(files, bytes), (more, of_those)| (files + more, bytes + of_those))
}

/// Splits a trailing ` [input]`, ` [output]` or ` [temp]` off a name.
pub(crate) fn annotated(name: &str) -> (&str, Option<Folder>) {
    let parts = name.strip_suffix(']').and_then(|rest| rest.rsplit_once(" ["));
    match parts.map(|(name, folder)| (name, Folder::parse(folder))) {
        Some((name, Some(folder))) => (name, Some(folder)),
        _ => (name, None),
    }
}

fn highest_number(directory: &Path, base: &str) -> u32 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let (number, _) = name.strip_prefix(base)?.strip_prefix('_')?.split_once('_')?;
        number.parse().ok()
    });
    numbers.max().unwrap_or(0)
}
