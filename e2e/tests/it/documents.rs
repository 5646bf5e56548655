//! What the documents name exists: files, headings, tests.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// Not ours, or made by a command that the text names.
const SKIPPED_FOLDERS: [&str; 3] = ["target", "node_modules", ".git"];
const MADE_BY_COMMANDS: [&str; 2] = ["target/", "lighthouse.yaml"];
const FILE_ENDINGS: [&str; 6] = [".rs", ".lua", ".md", ".yaml", ".sh", ".toml"];

pub(crate) fn name_only_what_exists() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let mut files = Vec::new();
    list_files(&root, &mut files)?;
    let tests = test_names(&files)?;
    let mut wrong = Vec::new();
    for document in files.iter().filter(|file| is_document(&root, file)) {
        let text = fs::read_to_string(document).with_context(|| document.display().to_string())?;
        let shown = document.strip_prefix(&root)?.display().to_string();
        let missing_files =
            code_spans(&text).filter(|span| names_file(span) && !file_exists(&root, document, span, &files));
        wrong.extend(missing_files.map(|span| format!("{shown}: no file {span}")));
        for target in link_targets(&text).filter(|target| !target.contains("://")) {
            if !link_holds(document, target)? {
                wrong.push(format!("{shown}: the link {target} leads nowhere"));
            }
        }
        if shown == "docs/faults.md" {
            let missing_tests = code_spans(&text)
                .filter(|span| span.split_once("::").is_some_and(|(_, name)| !tests.contains(name)));
            wrong.extend(missing_tests.map(|span| format!("{shown}: no test {span}")));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if !SKIPPED_FOLDERS.iter().any(|skipped| entry.file_name() == *skipped) {
            list_files(&path, files)?;
        }
    }
    Ok(())
}

/// What people read: at the root, in docs/, and the READMEs of folders.
fn is_document(root: &Path, file: &Path) -> bool {
    let of_a_folder = file.file_name().is_some_and(|name| name == "README.md");
    let folder = file.parent();
    let is_markdown = file.extension().is_some_and(|ending| ending == "md");
    is_markdown && (of_a_folder || folder == Some(root) || folder == Some(&root.join("docs")))
}

/// Names of functions in Rust's tests: `fn name(`.
fn test_names(files: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let text = fs::read_to_string(file)?;
        let functions = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        names.extend(functions.map(str::to_owned));
    }
    Ok(names)
}

/// Texts between single backticks; those of a fenced block are commands and no names.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("```")
        .step_by(2)
        .flat_map(|prose| prose.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
}

fn names_file(span: &str) -> bool {
    let plain = span.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    let ours =
        !MADE_BY_COMMANDS.iter().any(|made| span.starts_with(made)) && !span.starts_with(['/', '.', '~']);
    plain && ours && FILE_ENDINGS.iter().any(|ending| span.ends_with(ending))
}

/// A path from the root or from the document's folder; or only the end of one, where the text has said which folder it is
/// about.
fn file_exists(root: &Path, document: &Path, span: &str, files: &[PathBuf]) -> bool {
    let beside = document.parent().map(|folder| folder.join(span));
    root.join(span).exists()
        || beside.is_some_and(|path| path.exists())
        || files.iter().any(|file| file.ends_with(span))
}

fn link_holds(document: &Path, target: &str) -> Result<bool> {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let folder = document.parent().context("a document has a folder")?;
    let file = if path.is_empty() { document.to_owned() } else { folder.join(path) };
    if heading.is_empty() || !file.is_file() {
        return Ok(heading.is_empty() && file.exists());
    }
    let text = fs::read_to_string(&file)?;
    Ok(text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading))
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}
