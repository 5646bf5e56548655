//! Writes `crds/yaml/*.yaml` and `docs/api.md` from the Rust types.

mod reference;
mod yaml;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;

/// Write the CustomResourceDefinitions and the API reference from the Rust types.
#[derive(Parser)]
struct Args {
    /// Write nothing, and fail if a file differs from what would be written.
    #[arg(long)]
    check: bool,
    /// The repository's root.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    root: PathBuf,
}

struct File {
    path: String,
    content: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut stale = 0;
    for File { path, content } in files()? {
        let target = args.root.join(&path);
        if !args.check {
            write(&target, &content)?;
        } else if let Some(difference) = difference(&target, &content) {
            stale += 1;
            #[allow(clippy::print_stderr, reason = "a command-line tool's answer")]
            {
                eprintln!("{path} is out of date, {difference}");
            }
        }
    }
    if stale == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    #[allow(clippy::print_stderr, reason = "a command-line tool's answer")]
    {
        eprintln!("run: make generate");
    }
    Ok(ExitCode::FAILURE)
}

fn files() -> anyhow::Result<Vec<File>> {
    let crds = crds::crd::custom_resource_definitions()?;
    let crds = crds.iter().map(yaml::readable).collect::<Result<Vec<_>, _>>()?;
    let mut files = Vec::with_capacity(crds.len() + 1);
    for crd in &crds {
        let plural = crd["spec"]["names"]["plural"].as_str().context("a definition without a plural")?;
        files.push(File { path: format!("crds/yaml/{plural}.yaml"), content: yaml::document(crd)? });
    }
    files.push(File { path: "docs/api.md".to_owned(), content: reference::document(&crds) });
    Ok(files)
}

fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Where the file differs first, for a person to look at.
fn difference(path: &Path, wanted: &str) -> Option<String> {
    let found = match fs::read_to_string(path) {
        Ok(found) if found == wanted => return None,
        Ok(found) => found,
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    let same = found.lines().zip(wanted.lines()).take_while(|(found, wanted)| found == wanted).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(end of file)").to_owned();
    Some(format!("line {}:\n- {}\n+ {}", same + 1, line(&found), line(wanted)))
}
