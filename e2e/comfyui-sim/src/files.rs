//! ComfyUI's folders of files: input, output and temp.
use std::{
    collections::HashMap,
    io,
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

/// One of the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
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

    fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Temp => "temp",
        }
    }
}

/// Where a file is, as ComfyUI reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FileRef {
    #[serde(rename = "filename")]
    pub(crate) name: String,
    pub(crate) subfolder: String,
    #[serde(rename = "type")]
    pub(crate) folder: Folder,
}

/// The folders, under one directory.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    /// The last number given to a name with this prefix.
    counters: Mutex<HashMap<(PathBuf, String), u32>>,
}

impl Files {
    pub(crate) fn new(root: PathBuf) -> io::Result<Self> {
        for folder in [Folder::Input, Folder::Output, Folder::Temp] {
            std::fs::create_dir_all(root.join(folder.name()))?;
        }
        Ok(Self { root, counters: Mutex::default() })
    }

    pub(crate) fn directory(&self, folder: Folder) -> PathBuf {
        self.root.join(folder.name())
    }

    /// A subfolder; `None` if it leads outside.
    pub(crate) fn subfolder(&self, folder: Folder, subfolder: &str) -> Option<PathBuf> {
        let stays_inside = Path::new(subfolder).components().all(|part| matches!(part, Component::Normal(_)));
        stays_inside.then(|| self.directory(folder).join(subfolder))
    }

    /// The file of a name that may end in ` [output]` and the like; input by default.
    pub(crate) fn find_annotated(&self, name: &str) -> Option<PathBuf> {
        let (name, folder) = annotated(name);
        let path = self.subfolder(folder.unwrap_or(Folder::Input), name)?;
        path.is_file().then_some(path)
    }

    /// Names in the input folder itself, sorted.
    pub(crate) fn input_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory(Folder::Input)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Writes under the next free name `<prefix>_00001_.<extension>`. A prefix with slashes names a subfolder; one
    /// that leads outside is `None`.
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
        let number = self.next_number(&directory, base);
        let name = format!("{base}_{number:05}_.{extension}");
        std::fs::write(directory.join(&name), bytes)?;
        Ok(Some(FileRef { name, subfolder: subfolder.to_owned(), folder }))
    }

    fn next_number(&self, directory: &Path, base: &str) -> u32 {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let last = counters
            .entry((directory.to_owned(), base.to_owned()))
            .or_insert_with(|| highest_number(directory, base));
        *last += 1;
        *last
    }
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
