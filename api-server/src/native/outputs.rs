//! The files that jobs made, as ComfyUI names them: each name has the job, so that `/view` finds it.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{own_jobs, refusal::Refusal, uploads};
use crate::{app::App, auth::Caller, cache::Job, error::Error, files, http::Mount, uploads::Folder};

/// The length of a UUID with its hyphens.
const ID_LENGTH: usize = 36;

/// Which file of which job.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileName {
    job: String,
    index: u32,
    n: usize,
}

impl FileName {
    /// The name that clients see: `{prompt_id}_{index}_{n}_{name}`.
    fn text(&self, name: &str) -> String {
        let name: String = name.chars().map(|c| if matches!(c, '/' | '\\') { '_' } else { c }).collect();
        format!("{}_{}_{}_{name}", self.job, self.index, self.n)
    }

    fn parse(text: &str) -> Option<Self> {
        let (job, rest) = text.split_at_checked(ID_LENGTH)?;
        let mut parts = rest.strip_prefix('_')?.splitn(3, '_');
        let (index, n) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next()?;
        Uuid::try_parse(job).ok()?;
        Some(Self { job: job.to_owned(), index, n })
    }
}

/// What each node of a job made, in ComfyUI's shape.
pub(super) fn by_node(job: &Job) -> Map<String, Value> {
    let mut nodes = Map::new();
    for result in &job.status.results {
        for (n, file) in result.outputs.iter().enumerate() {
            let name = FileName { job: job.name.clone(), index: result.index, n };
            let shown = json!({ "filename": name.text(&file.name), "subfolder": "", "type": "output" });
            let list = if file.media_type.starts_with("audio/") { "audio" } else { "images" };
            let node = nodes.entry(file.node.clone()).or_insert_with(|| json!({}));
            match node[list].as_array_mut() {
                Some(files) => files.push(shown),
                None => node[list] = json!([shown]),
            }
        }
    }
    nodes
}

/// A file that is asked for; its folders do not matter, since its name says all.
#[derive(Deserialize)]
pub(super) struct Asked {
    filename: String,
}

/// The file itself, with no redirect: clients would pass their key on to the bucket.
pub(super) async fn view(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers)?;
    let asked = asked.map(|Query(asked)| asked.filename).unwrap_or_default();
    let shown = async {
        if let Some(id) = uploads::id_in(&asked) {
            let folder = Folder::of(&app, &caller, &mount).await?;
            return folder.download(&folder.find(id).await?, &headers).await;
        }
        let name = FileName::parse(&asked).ok_or_else(|| no_file(&asked))?;
        let job = own_jobs::find(&app, &caller, &name.job).await?;
        let file = files::find(&job, name.index, name.n)?;
        files::download(&app.buckets.of_job(&job).await?, &file.into(), &headers).await
    };
    Ok(shown.await.map_err(|error| in_its_name(error, &asked))?)
}

/// The content of a job's file, of at most so many bytes.
///
/// # Errors
/// [`Error::NotFound`] of a name that is none of the caller's; [`Error::TooLarge`].
pub(super) async fn content(app: &App, caller: &Caller, name: &str, most: usize) -> Result<Bytes, Error> {
    let read = async {
        let FileName { job, index, n } = FileName::parse(name).ok_or_else(|| no_file(name))?;
        let job = own_jobs::find(app, caller, &job).await?;
        let file = files::find(&job, index, n)?;
        files::read(&app.buckets.of_job(&job).await?, &file.into(), most).await
    };
    read.await.map_err(|error| in_its_name(error, name))
}

fn no_file(name: &str) -> Error {
    Error::NotFound { what: "file", name: name.to_owned() }
}

/// Whatever is missing on the way to a file, the client knows the file's name only.
fn in_its_name(error: Error, name: &str) -> Error {
    if matches!(error, Error::NotFound { .. }) { no_file(name) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_leads_back_to_it() {
        let id = "7f1c0d2e-0000-4000-8000-000000000000";
        let name = FileName { job: id.to_owned(), index: 2, n: 1 };
        let text = name.text("my/cat_00000.png");
        assert_eq!(text, format!("{id}_2_1_my_cat_00000.png"));
        assert_eq!(FileName::parse(&text), Some(name));
        for other in ["", "cat.png", id, &format!("{id}_0"), &format!("{id}_a_0_x.png"), "../etc/passwd"] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
        assert_eq!(FileName::parse(&format!("{}_0_0_x.png", "é".repeat(18))), None);
    }
}
