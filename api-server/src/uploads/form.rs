//! Files that come as a part of a form.

use std::collections::HashMap;

use axum::extract::{FromRequest as _, Multipart, Request, multipart::Field};

use super::{Description, Folder, Uploaded};
use crate::error::Error;

/// The part that is the file.
const FILE: &str = "file";
/// The longest text of a form, in bytes.
const LONGEST_TEXT: usize = 4 << 10;

/// Texts of a form, by their names.
pub(crate) type Texts = HashMap<&'static str, String>;

impl Folder {
    /// Takes the part `file` of a form. `describe` is told the texts of these names that come before it; what it leaves open
    /// the part itself says. Parts with other names, and those after the file, are not read.
    ///
    /// # Errors
    /// As [`Folder::take`]; [`Error::Invalid`] of a form that has no file or can't be read.
    pub(crate) async fn take_part(
        &self,
        request: Request,
        names: &[&'static str],
        describe: impl FnOnce(Texts) -> Result<Description, Error>,
    ) -> Result<(Uploaded, bool), Error> {
        let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(&error))?;
        let mut texts = Texts::new();
        while let Some(mut part) = form.next_field().await.map_err(|error| broken(&error))? {
            if part.name() == Some(FILE) {
                let Description { name, media_type, id } = describe(texts)?;
                let description = Description {
                    name: name.or_else(|| part.file_name().map(str::to_owned)),
                    media_type: media_type.or_else(|| part.content_type().map(str::to_owned)),
                    id,
                };
                return self.take(description, part).await;
            }
            if let Some(&name) = names.iter().find(|&&name| part.name() == Some(name)) {
                texts.insert(name, text(name, &mut part).await?);
            }
        }
        Err(Error::invalid("", "the form has no part named file"))
    }
}

async fn text(name: &str, part: &mut Field<'_>) -> Result<String, Error> {
    let mut bytes = vec![];
    while let Some(piece) = part.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + piece.len() > LONGEST_TEXT {
            return Err(Error::invalid("", format!("{name} is longer than {LONGEST_TEXT} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("", format!("{name} is no text in UTF-8")))
}

fn broken(error: &dyn std::fmt::Display) -> Error {
    Error::invalid("", format!("the form can't be read: {error}"))
}
