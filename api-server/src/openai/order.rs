//! What a request for pictures asks for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    app::App,
    auth::{Caller, to_hex},
    cache::Tenant,
    error::Error,
    fields::Fields,
    http::Mount,
    picture::PictureOrder,
};

/// Pictures of one request.
const MOST: u32 = 10;
/// A prompt's characters, as an ImageJob takes them.
const LONGEST_PROMPT: usize = 10_000;
/// Sides of a picture in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 64..=4096;

/// What has no counterpart here.
const IGNORED: [&str; 5] = ["style", "moderation", "output_compression", "complexity", "quality"];
/// What can't be left out without making something else than what was asked for.
const REFUSED: [&str; 2] = ["svg", "markup"];
/// Who asks, in the caller's words.
const USERS: [&str; 2] = ["user", "safety_identifier"];

/// How pictures are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Base64,
    Url,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) picture: PictureOrder,
    pub(super) form: Form,
    /// The files' format, where it is not as engines write it.
    format: Option<&'static str>,
    pub(super) stream: bool,
    /// The labels of the job: who asks, hashed.
    pub(super) labels: BTreeMap<String, String>,
    /// The fields that have no effect.
    pub(super) ignored: Vec<String>,
}

impl Order {
    pub(super) fn of_fields(mut fields: Fields, tenant: &Tenant) -> Result<Self, Error> {
        refuse(&mut fields)?;
        let (width, height) = size(&mut fields)?;
        let prompt = |order: &PictureOrder| match order.prompt.chars().count() {
            0 => Err(Error::invalid("/prompt", "say what the picture shows")),
            long if long > LONGEST_PROMPT => {
                Err(Error::invalid("/prompt", format!("it has at most {LONGEST_PROMPT} characters")))
            }
            _ => Ok(()),
        };
        let picture = PictureOrder {
            model: fields.filled_text(&["model"])?,
            width,
            height,
            count: fields.whole(&["n"])?.unwrap_or(1),
            ..PictureOrder::of_fields(&mut fields)?
        };
        prompt(&picture)?;
        if !(1..=MOST).contains(&picture.count) {
            return Err(Error::invalid("/n", format!("it is 1 to {MOST}")));
        }
        let mut labels = BTreeMap::new();
        for name in USERS {
            if let Some(user) = fields.filled_text(&[name])? {
                labels.insert(name.to_owned(), hashed(tenant, &user));
            }
        }
        let form = form(&mut fields)?;
        let format = format(&mut fields)?;
        let stream = fields.boolean(&["stream"])?.unwrap_or(false);
        // Fewer are allowed, and none too.
        fields.take(&["partial_images"])?;
        let mut ignored = vec![];
        for name in IGNORED {
            ignored.extend(fields.take(&[name])?.map(|(name, _)| name.to_owned()));
        }
        ignored.extend(background(&mut fields)?);
        ignored.extend(fields.names().map(str::to_owned));
        Ok(Self { picture, form, format, stream, labels, ignored })
    }

    /// Has the pictures start from this one, where the mask is white. They are as large as it is.
    pub(super) fn start_from(&mut self, image: Value, mask: Option<Value>) {
        if self.picture.width.is_some() {
            self.ignored.push("size".to_owned());
        }
        (self.picture.image, self.picture.mask) = (Some(image), mask);
    }

    /// The spec of the ImageJob.
    pub(super) fn spec(
        &self,
        app: &App,
        caller: &Caller,
        mount: &Mount,
    ) -> Result<Map<String, Value>, Error> {
        let mut spec = self.picture.spec(app, &caller.tenant, mount)?;
        if let Some(format) = self.format {
            spec.insert("output".to_owned(), json!({ "format": format }));
        }
        Ok(spec)
    }
}

fn refuse(fields: &mut Fields) -> Result<(), Error> {
    let names = fields.names().filter(|name| REFUSED.contains(name) || name.starts_with("frame_"));
    match names.map(str::to_owned).next() {
        Some(name) => Err(Error::invalid(format!("/{name}"), "only still pictures of pixels are made here")),
        None => Ok(()),
    }
}

fn size(fields: &mut Fields) -> Result<(Option<u32>, Option<u32>), Error> {
    let Some(size) = fields.filled_text(&["size"])?.filter(|size| size != "auto") else {
        return Ok((None, None));
    };
    let side =
        |text: &str| text.parse().ok().filter(|side: &u32| SIDES.contains(side) && side.is_multiple_of(8));
    let sides = size.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    let (width, height) = sides.ok_or_else(|| {
        let (least, most) = SIDES.into_inner();
        Error::invalid(
            "/size",
            format!("it is auto, or WIDTHxHEIGHT, each a multiple of 8 from {least} to {most}"),
        )
    })?;
    Ok((Some(width), Some(height)))
}

fn form(fields: &mut Fields) -> Result<Form, Error> {
    match fields.filled_text(&["response_format"])?.as_deref() {
        None | Some("b64_json") => Ok(Form::Base64),
        Some("url") => Ok(Form::Url),
        Some(_) => Err(Error::invalid("/response_format", "it is url or b64_json")),
    }
}

fn format(fields: &mut Fields) -> Result<Option<&'static str>, Error> {
    match fields.filled_text(&["output_format"])?.as_deref() {
        // So engines write them.
        None | Some("png") => Ok(None),
        Some("jpeg") => Ok(Some("jpeg")),
        Some("webp") => Ok(Some("webp")),
        Some(_) => Err(Error::invalid("/output_format", "it is png, jpeg or webp")),
    }
}

/// Whether the field has no effect; a transparent background can't be made.
fn background(fields: &mut Fields) -> Result<Option<String>, Error> {
    match fields.filled_text(&["background"])?.as_deref() {
        None => Ok(None),
        Some("auto" | "opaque") => Ok(Some("background".to_owned())),
        Some(_) => Err(Error::invalid("/background", "it is auto or opaque")),
    }
}

/// Users' names are nobody's business; the same user has the same hash.
fn hashed(tenant: &Tenant, user: &str) -> String {
    const SHORT: usize = 32;
    to_hex(&Sha256::digest(format!("{}\0{user}", tenant.name)))[..SHORT].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(body: &Value) -> Result<Order, Error> {
        let spec = serde_json::from_value(json!({"namespace": "studio"})).unwrap();
        let tenant = Tenant { name: "acme".into(), spec };
        Order::of_fields(Fields::new(body.as_object().unwrap().clone()), &tenant)
    }

    #[test]
    fn every_field_that_has_an_effect_is_read() {
        let order = order(&json!({
            "prompt": "a cat", "model": "dall-e-3", "n": 3, "size": "512x768", "response_format": "url",
            "output_format": "webp", "stream": true, "partial_images": 2, "user": "ann@example.com",
            "negative_prompt": "dogs", "num_inference_steps": 20, "steps": 20, "cfg_scale": 7, "seed": -1,
            "sampler_name": "Euler a", "scheduler": "Karras", "denoising_strength": 0.5,
            "style": "vivid", "background": "opaque", "quality": "hd", "watermark": false,
        }))
        .unwrap();
        assert_eq!(
            order.picture,
            PictureOrder {
                prompt: "a cat".into(),
                negative_prompt: Some("dogs".into()),
                model: Some("dall-e-3".into()),
                width: Some(512),
                height: Some(768),
                steps: Some(20),
                cfg_scale: Some(7.0),
                sampler: Some("euler_ancestral".into()),
                scheduler: Some("karras".into()),
                seed: None,
                count: 3,
                strength: Some(0.5),
                ..PictureOrder::default()
            }
        );
        assert_eq!((order.form, order.format, order.stream), (Form::Url, Some("webp"), true));
        assert_eq!(order.ignored, ["style", "quality", "background", "watermark"]);
        assert!(!order.labels["user"].contains("ann"), "{:?}", order.labels);
    }

    #[test]
    fn what_can_not_be_made_is_refused_with_its_name() {
        for (name, value) in [
            ("prompt", json!("")),
            ("prompt", json!("a".repeat(10_001))),
            ("n", json!(0)),
            ("n", json!(11)),
            ("size", json!("100x100")),
            ("size", json!("large")),
            ("size", json!("8x8")),
            ("response_format", json!("data")),
            ("output_format", json!("gif")),
            ("output_format", json!("svg")),
            ("background", json!("transparent")),
            ("frame_count", json!(2)),
            ("frame_anything", json!(2)),
            ("svg", json!({})),
            ("markup", json!("<svg/>")),
            ("steps", json!("many")),
        ] {
            let mut body = json!({"prompt": "a cat"});
            body[name] = value;
            let Err(Error::Invalid(faults)) = order(&body) else { panic!("{body} is taken") };
            assert_eq!(faults[0].pointer, format!("/{name}"));
        }
        assert!(order(&json!({"prompt": "a cat", "steps": 20, "num_inference_steps": 30})).is_err());
    }
}
