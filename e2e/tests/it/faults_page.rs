//! docs/faults.md says where each fault is tested. Those tests are there.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Where the tests are that stand behind a letter.
const FOLDERS: [(&str, &str); 8] = [
    ("q", "queue/tests/it"),
    ("w", "gpu-worker/tests/it"),
    ("e", "e2e/tests/it"),
    ("c", "crds/tests/it"),
    ("p", "policy/tests/it"),
    ("s", "store/tests/it"),
    ("o", "operator/src"),
    ("g", "gpu-worker/src"),
];

pub(crate) fn every_test_that_it_names_is_there() -> Result<()> {
    const LEAST: usize = 100;
    let page = fs::read_to_string(Path::new(ROOT).join("docs/faults.md"))?;
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with('|')) {
        // Every second part stands in backticks.
        let mut folder = None;
        for (n, part) in row.split('`').enumerate() {
            if n % 2 == 0 {
                let letter = part.trim_end().rsplit([' ', '(']).next();
                let known = FOLDERS.iter().find(|(known, _)| Some(*known) == letter);
                folder = known.map(|(_, folder)| *folder).or(folder);
            } else if let Some((file, test)) = part.rsplit_once("::") {
                let folder = folder.with_context(|| format!("{part}: whose test is it?"))?;
                is_there(folder, file, test)?;
                named += 1;
            }
        }
    }
    ensure!(named >= LEAST, "only {named} tests were found on the page");
    Ok(())
}

fn is_there(folder: &str, file: &str, test: &str) -> Result<()> {
    let path = Path::new(ROOT).join(folder).join(format!("{file}.rs"));
    let text = fs::read_to_string(&path).with_context(|| format!("no {}, for {test}", path.display()))?;
    ensure!(text.contains(&format!("fn {test}(")), "{} has no {test}", path.display());
    Ok(())
}
