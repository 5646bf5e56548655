//! What the documentation shows works, and its links lead somewhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{autoscalers::documents, objects::with, server::Server};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every page for people: those of docs/, and those at the top.
fn pages() -> BTreeMap<PathBuf, String> {
    let folders = [root(), root().join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let files = entries.map(|entry| entry.unwrap().path());
    let pages = files.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    pages.map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect()
}

/// The blocks of a page that are fenced as `language`.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[tokio::test]
async fn jobs_in_the_documentation_are_admitted() {
    let server = Server::get().await;
    let mut tried = 0;
    for (page, text) in pages() {
        for block in blocks(&text, "yaml") {
            let ours = |object: &Value| object["apiVersion"] == "imagejob.dev/v1alpha1";
            for object in documents(block).into_iter().filter(ours) {
                let object = with(object, "/metadata/namespace", &json!("default"));
                let admitted = server.admit(&object).await;
                assert!(admitted.is_ok(), "{}: {admitted:?}", page.display());
                tried += 1;
            }
        }
    }
    assert!(tried >= 2, "the guide and the README begin with a job");
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let pages = pages();
    let mut broken = vec![];
    for (page, text) in &pages {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let Ok(target) = target.canonicalize() else {
                broken.push(format!("{}: no file {link}", page.display()));
                continue;
            };
            let headings = pages.get(&target).map_or("", String::as_str).lines();
            let found = headings.filter(|line| line.starts_with('#')).any(|line| anchor(line) == part);
            if !part.is_empty() && !found {
                broken.push(format!("{}: no heading for {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
