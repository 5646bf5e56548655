//! The picture that `img2img` starts from.

use serde_json::{Map, Value};

use crate::{app::App, auth::Caller, error::Error, http::Mount, picture::PictureOrder, uploads::Folder};

/// The pictures of a request, in base64 or as data URLs.
#[derive(Debug)]
pub(super) struct Start {
    image: String,
    mask: Option<String>,
}

impl Start {
    /// Takes the pictures out of a request's body.
    pub(super) fn of_body(body: &mut Map<String, Value>) -> Result<Self, Error> {
        let mut images = match body.shift_remove("init_images") {
            Some(Value::Array(images)) => images,
            _ => vec![],
        };
        let (Some(Value::String(image)), true) = (images.pop(), images.is_empty()) else {
            let detail = "it must be one picture, in base64 or as a data URL";
            return Err(Error::invalid("/init_images", detail));
        };
        let mask = match body.shift_remove("mask") {
            None | Some(Value::Null) => None,
            Some(Value::String(mask)) => Some(mask),
            Some(_) => {
                return Err(Error::invalid("/mask", "it must be a picture, in base64 or as a data URL"));
            }
        };
        if body.get("inpainting_mask_invert").and_then(Value::as_f64).is_some_and(|invert| invert != 0.0) {
            return Err(Error::invalid(
                "/inpainting_mask_invert",
                "white is painted anew; hand in the mask so",
            ));
        }
        Ok(Self { image, mask })
    }

    /// Hands the pictures in, and has the order start from them.
    pub(super) async fn hand_in(
        &self,
        app: &App,
        caller: &Caller,
        mount: &Mount,
        order: &mut PictureOrder,
    ) -> Result<(), Error> {
        let folder = Folder::to_fill(app, caller, mount).await?;
        order.image = Some(folder.take_base64("/init_images/0", &self.image).await?.source());
        if let Some(mask) = &self.mask {
            order.mask = Some(folder.take_base64("/mask", mask).await?.source());
        }
        Ok(())
    }
}
