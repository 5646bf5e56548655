//! `/upload/image` and `/upload/mask`: files that a prompt's nodes load. A file's name is made from what is in it, so that no
//! upload takes the place of another.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{FromRequest as _, Multipart, Request, State},
    http::HeaderMap,
};
use bytes::Bytes;
use media::{BadInput, Limits, with_alpha_of};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use workflow::{FileInput, Graph, ObjectInfo, files};

use super::{graph::NodeErrors, outputs, refusal::Refusal};
use crate::{
    app::App,
    auth::Caller,
    error::Error,
    http::Mount,
    uploads::{Description, Folder, Uploaded, broken, bytes_of, is_id},
};

/// The part of a form that is the file.
const IMAGE: &str = "image";
/// The part that says which picture a mask is for.
const ORIGINAL: &str = "original_ref";
/// A text of a form, in bytes.
const TEXT_AT_MOST: usize = 4 << 10;
/// Parts of a form.
const PARTS_AT_MOST: usize = 16;
/// The longest extension of a name that is kept.
const LONGEST_EXTENSION: usize = 8;
/// Pictures whose pixels are in memory at once.
static PIXELS: Semaphore = Semaphore::const_new(1);

/// Takes a file. What the client calls it, and whether it may take another's place, does not matter: only its extension is
/// kept, since clients tell kinds by it.
pub(super) async fn image(
    State(app): State<App>,
    mount: Mount,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (_, folder) = admitted(&app, &mount, request.headers()).await?;
    let (file, _) = folder.take_part(request, IMAGE, &[], |_| Ok(Description::default())).await?;
    Ok(Json(named(&file)))
}

/// Takes a mask: a PNG whose transparency becomes that of the picture that it is for. The answer names the picture with it,
/// which is a new file.
pub(super) async fn mask(
    State(app): State<App>,
    mount: Mount,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (caller, folder) = admitted(&app, &mount, request.headers()).await?;
    let most = folder.most_bytes();
    let (mask, original) = mask_form(request, most).await?;
    let picture = original_bytes(&app, &caller, &folder, &original).await?;
    let _turn = PIXELS.acquire().await.map_err(|error| Error::Internal(error.to_string()))?;
    let masked =
        tokio::task::spawn_blocking(move || with_alpha_of(&picture, &mask, &Limits::default())).await;
    let masked = masked.map_err(|error| Error::Internal(error.to_string()))?;
    let masked = masked.map_err(|error: BadInput| Error::invalid("/image", error.to_string()))?;
    let description = Description {
        name: Some("masked.png".to_owned()),
        media_type: Some("image/png".to_owned()),
        id: None,
    };
    Ok(Json(named(&folder.take_bytes(description, masked.bytes.into()).await?)))
}

async fn admitted(app: &App, mount: &Mount, headers: &HeaderMap) -> Result<(Caller, Folder), Error> {
    let caller = app.caller(headers)?;
    let folder = Folder::to_fill(app, &caller, mount).await?;
    Ok((caller, folder))
}

/// The picture that a mask is for.
#[derive(Debug, Default, Deserialize)]
struct Original {
    filename: String,
}

async fn mask_form(request: Request, most: usize) -> Result<(Bytes, Original), Error> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(&error))?;
    let (mut mask, mut original) = (None, None);
    for _ in 0..PARTS_AT_MOST {
        let Some(mut part) = form.next_field().await.map_err(|error| broken(&error))? else { break };
        match part.name() {
            Some(IMAGE) => mask = Some(bytes_of(&mut part, most).await?),
            Some(ORIGINAL) => original = Some(bytes_of(&mut part, TEXT_AT_MOST).await?),
            _ => {}
        }
    }
    let missing =
        |name: &str| Error::invalid(format!("/{name}"), format!("the form has no part named {name}"));
    let original = original.ok_or_else(|| missing(ORIGINAL))?;
    let wrong = |error| Error::invalid(format!("/{ORIGINAL}"), format!("it names no picture: {error}"));
    Ok((mask.ok_or_else(|| missing(IMAGE))?, serde_json::from_slice(&original).map_err(wrong)?))
}

async fn original_bytes(
    app: &App,
    caller: &Caller,
    folder: &Folder,
    Original { filename }: &Original,
) -> Result<Bytes, Error> {
    match id_in(filename) {
        Some(id) => folder.bytes(&folder.find(id).await?).await,
        None => outputs::content(app, caller, filename, folder.most_bytes()).await,
    }
}

/// What ComfyUI says of a file that it took.
fn named(file: &Uploaded) -> Value {
    let extension = file.upload.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let is_plain = |text: &String| {
        (1..=LONGEST_EXTENSION).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let name = match extension.filter(is_plain) {
        Some(extension) => format!("{}.{extension}", file.id),
        None => file.id.clone(),
    };
    json!({ "name": name, "subfolder": "", "type": "input" })
}

/// The id of the upload that has this name.
pub(super) fn id_in(name: &str) -> Option<&str> {
    let id = name.split_once('.').map_or(name, |(id, _)| id);
    Some(id).filter(|id| is_id(id))
}

/// The inputs of a job for the uploads that its graph loads. The graph names the inputs afterwards.
///
/// # Errors
/// In ComfyUI's words when the tenant has no such file.
pub(super) async fn settle(
    app: &App,
    caller: &Caller,
    mount: &Mount,
    graph: &mut Graph,
    known: Option<&ObjectInfo>,
) -> Result<Vec<Value>, Refusal> {
    let loads: Vec<_> = files(graph, known).into_iter().filter(|file| id_in(&file.name).is_some()).collect();
    if loads.is_empty() {
        return Ok(vec![]);
    }
    let folder = Folder::of(app, caller, mount).await?;
    let mut found = BTreeMap::new();
    let mut errors = NodeErrors::default();
    for FileInput { path, name } in loads {
        let id = id_in(&name).unwrap_or_default().to_owned();
        let file = match found.remove(&id) {
            Some(file) => Ok(file),
            None => folder.find(&id).await,
        };
        match file {
            Ok(file) => {
                graph[&path.node]["inputs"][&path.input] = json!(input_name(&id));
                found.insert(id, file);
            }
            Err(Error::NotFound { .. }) => {
                let details = format!("{} - Invalid image file: {name}", path.input);
                errors.add(graph, &path.node, "custom_validation_failed", &path.input, &details);
            }
            Err(other) => return Err(other.into()),
        }
    }
    errors.refuse()?;
    Ok(found.iter().map(|(id, file)| file.input(&input_name(id))).collect())
}

/// What a job calls an upload: ids are longer than names of inputs may be.
fn input_name(id: &str) -> String {
    format!("upload-{}", id.get(..16).unwrap_or(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_handed_out_leads_to_its_file() {
        let id = "ab".repeat(32);
        for name in [id.clone(), format!("{id}.png"), format!("{id}.latent")] {
            assert_eq!(id_in(&name), Some(&*id));
        }
        for other in ["", "example.png", "sub/example.png", &id[1..], &format!("x{id}.png")] {
            assert_eq!(id_in(other), None, "{other}");
        }
    }
}
