//! Files that come as a part of a form.

use std::collections::HashMap;

use axum::extract::{FromRequest as _, Multipart, Request, multipart::Field};
use bytes::{Bytes, BytesMut};

use super::{Description, Folder, Uploaded};
use crate::error::Error;

/// The longest text of a form, in bytes.
const LONGEST_TEXT: usize = 4 << 10;

/// Texts of a form, by their names.
pub(crate) type Texts = HashMap<&'static str, String>;

impl Folder {
    /// Takes the part of a form that is called `file`. `describe` is told the texts of these names that come before it; what it leaves open
    /// the part itself says. Parts with other names, and those after the file, are not read.
    ///
    /// # Errors
    /// As [`Folder::take`]; [`Error::Invalid`] of a form that has no file or can't be read.
    pub(crate) async fn take_part(
        &self,
        request: Request,
        file: &str,
        names: &[&'static str],
        describe: impl FnOnce(Texts) -> Result<Description, Error>,
    ) -> Result<(Uploaded, bool), Error> {
        let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(&error))?;
        let mut texts = Texts::new();
        while let Some(mut part) = form.next_field().await.map_err(|error| broken(&error))? {
            if part.name() == Some(file) {
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
        Err(Error::invalid("", format!("the form has no part named {file}")))
    }
}

async fn text(name: &str, part: &mut Field<'_>) -> Result<String, Error> {
    let bytes = bytes_of(part, LONGEST_TEXT).await.map_err(|error| match error {
        Error::TooLarge { most } => Error::invalid("", format!("{name} is longer than {most} bytes")),
        other => other,
    })?;
    String::from_utf8(bytes.into()).map_err(|_| Error::invalid("", format!("{name} is no text in UTF-8")))
}

/// A part's bytes, at most so many.
///
/// # Errors
/// [`Error::TooLarge`]; [`Error::Invalid`] when the form breaks off.
pub(crate) async fn bytes_of(part: &mut Field<'_>, most: usize) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = part.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + piece.len() > most {
            return Err(Error::TooLarge { most });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// A form that can't be read.
pub(crate) fn broken(error: &dyn std::fmt::Display) -> Error {
    Error::invalid("", format!("the form can't be read: {error}"))
}
