//! `/v1/images/edits`: pictures from a picture and a text, which come as a form.

use axum::{
    extract::{FromRequest as _, Multipart, Request, State},
    response::Response,
};
use serde_json::{Map, Value, json};

use super::{
    error::Refusal,
    make::{Kind, make},
    mask::black_and_white,
    order::Order,
};
use crate::{
    app::App,
    error::Error,
    fields::Fields,
    http::Mount,
    uploads::{Description, Folder, Uploaded, broken, bytes_of},
};

/// Parts of a form.
const PARTS_AT_MOST: usize = 64;
/// A part that is a text, in bytes.
const TEXT_AT_MOST: usize = 64 << 10;
/// A mask, in bytes.
const MASK_AT_MOST: usize = 16 << 20;

/// Changes a picture.
pub(crate) async fn edit(
    State(app): State<App>,
    mount: Mount,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers())?;
    let headers = request.headers().clone();
    let folder = Folder::to_fill(&app, &caller, &mount).await?;
    let form = Multipart::from_request(request, &()).await.map_err(|error| broken(&error))?;
    let Form { fields, image, mask } = read(&folder, form).await?;
    let image = image.ok_or_else(|| Error::invalid("/image", "hand in the picture to start from"))?;
    let mut order = Order::of_fields(Fields::new(fields), &caller.tenant)?;
    order.start_from(image.source(), mask.map(|mask| mask.source()));
    make(app, caller, &mount, &headers, order, Kind::Edit).await
}

#[derive(Default)]
struct Form {
    fields: Map<String, Value>,
    image: Option<Uploaded>,
    mask: Option<Uploaded>,
}

/// Reads a form; its files go into the folder while they come.
async fn read(folder: &Folder, mut parts: Multipart) -> Result<Form, Error> {
    let mut form = Form::default();
    let mut count = 0;
    while let Some(mut part) = parts.next_field().await.map_err(|error| broken(&error))? {
        count += 1;
        if count > PARTS_AT_MOST {
            return Err(Error::invalid("", format!("the form has more than {PARTS_AT_MOST} parts")));
        }
        let name = part.name().unwrap_or_default().to_owned();
        match &*name {
            // The SDK calls several pictures image[].
            "image" | "image[]" | "image[0]" if form.image.is_none() => {
                let description = Description {
                    name: part.file_name().map(str::to_owned),
                    media_type: part.content_type().map(str::to_owned),
                    id: None,
                };
                form.image = Some(folder.take(description, part).await?.0);
            }
            name if name == "image" || name.starts_with("image[") => {
                return Err(Error::invalid("/image", "one picture is started from, not several"));
            }
            "mask" => {
                let mask = black_and_white(bytes_of(&mut part, MASK_AT_MOST).await?).await?;
                form.mask = Some(folder.take_bytes(Description::default(), mask).await?);
            }
            name => {
                let text = bytes_of(&mut part, TEXT_AT_MOST).await?;
                let text = String::from_utf8(text.into());
                let text = text.map_err(|_| Error::invalid(format!("/{name}"), "it must be a text"))?;
                form.fields.insert(name.to_owned(), json!(text));
            }
        }
    }
    Ok(form)
}
