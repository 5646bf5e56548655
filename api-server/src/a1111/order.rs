//! What a request for pictures asks for.

use serde_json::{Map, Value, json};

use crate::{error::Error, fields::Fields, picture::PictureOrder};

/// Pictures of one request.
const MOST: u32 = 32;

/// What can't be left out without making something else than what was asked for, and what it is called for people.
const REFUSED: [(&str, &str); 5] = [
    ("enable_hr", "the second pass in a higher resolution"),
    ("alwayson_scripts", "extensions"),
    ("script_name", "scripts"),
    ("restore_faces", "the restoration of faces"),
    ("tiling", "tiling"),
];

/// What has no effect here, and its default in the web UI: clients send all of it always.
const DEFAULTS: [(&str, f64); 9] = [
    ("subseed_strength", 0.0),
    ("seed_resize_from_h", 0.0),
    ("seed_resize_from_w", 0.0),
    ("firstphase_width", 0.0),
    ("firstphase_height", 0.0),
    ("eta", 1.0),
    ("s_churn", 0.0),
    ("s_noise", 1.0),
    ("s_tmin", 0.0),
];

/// What is asked for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) picture: PictureOrder,
    /// Whether the answer holds the pictures.
    pub(super) send_images: bool,
    /// The sampler as the request calls it.
    pub(super) sampler: Option<String>,
    /// The request itself, without pictures.
    pub(super) parameters: Value,
    /// The fields that have no effect, though they are not at their defaults.
    pub(super) ignored: Vec<String>,
}

impl Order {
    pub(super) fn of_body(body: Map<String, Value>) -> Result<Self, Error> {
        let parameters = Value::Object(body.clone());
        let mut fields = Fields::new(body);
        for (name, what) in REFUSED {
            if fields.take(&[name])?.is_some_and(|(_, value)| is_set(&value)) {
                return Err(Error::invalid(format!("/{name}"), format!("{what}: not possible here")));
            }
        }
        // An older name, which clients send along with another value.
        let older = fields.filled_text(&["sampler_index"])?;
        let sampler = fields.filled_text(&["sampler_name"])?.or(older);
        if let Some(sampler) = &sampler {
            fields.put("sampler_name", json!(sampler));
        }
        let mut ignored = vec![];
        for (name, usual) in DEFAULTS {
            let other = fields.number(&[name])?.filter(|number| is_other(*number, usual));
            ignored.extend(other.map(|_| name.to_owned()));
        }
        if fields.take(&["styles"])?.is_some_and(|(_, styles)| is_set(&styles)) {
            ignored.push("styles".to_owned());
        }
        let (batch, times) = (fields.whole(&["batch_size"])?, fields.whole(&["n_iter"])?);
        let count = batch.unwrap_or(1).max(1).saturating_mul(times.unwrap_or(1).max(1));
        if count > MOST {
            let detail = format!("batch_size times n_iter is at most {MOST}");
            return Err(Error::invalid("/batch_size", detail));
        }
        let picture = PictureOrder {
            model: model(&mut fields)?,
            width: fields.whole(&["width"])?,
            height: fields.whole(&["height"])?,
            count,
            ..PictureOrder::of_fields(&mut fields)?
        };
        let send_images = fields.boolean(&["send_images"])?.unwrap_or(true);
        Ok(Self { picture, send_images, sampler, parameters, ignored })
    }
}

/// The model that the request sets for itself: `name`, or `name [hash]`.
fn model(fields: &mut Fields) -> Result<Option<String>, Error> {
    let Some((_, settings)) = fields.take(&["override_settings"])? else { return Ok(None) };
    let Some(title) = settings["sd_model_checkpoint"].as_str() else { return Ok(None) };
    let name = title.rsplit_once(" [").filter(|_| title.ends_with(']')).map_or(title, |(name, _)| name);
    Ok(Some(name.to_owned()))
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.trim().is_empty() && text != "None",
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(true) => true,
    }
}

fn is_other(number: f64, usual: f64) -> bool {
    (number - usual).abs() > 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(body: &Value) -> Result<Order, Error> {
        Order::of_body(body.as_object().unwrap().clone())
    }

    #[test]
    fn what_has_an_effect_is_read_and_the_rest_told_where_it_is_not_at_its_default() {
        let order = order(&json!({
            "prompt": "a cat", "negative_prompt": "dogs", "seed": -1, "steps": 20, "cfg_scale": 7.0, "width": 512, "height": 768,
            "batch_size": 2, "n_iter": 3, "sampler_name": "DPM++ 2M", "sampler_index": "Euler a", "scheduler": "automatic",
            "override_settings": {"sd_model_checkpoint": "sd15.safetensors [6ce0161689]"},
            "enable_hr": false, "alwayson_scripts": {}, "script_name": null, "restore_faces": false, "tiling": false,
            "hr_scale": 2, "eta": 1.0, "s_noise": 1, "denoising_strength": 0.7, "styles": ["noir"], "subseed_strength": 0.3,
        }))
        .unwrap();
        assert_eq!(
            order.picture,
            PictureOrder {
                prompt: "a cat".into(),
                negative_prompt: Some("dogs".into()),
                model: Some("sd15.safetensors".into()),
                width: Some(512),
                height: Some(768),
                steps: Some(20),
                cfg_scale: Some(7.0),
                sampler: Some("dpmpp_2m".into()),
                scheduler: Some("normal".into()),
                count: 6,
                strength: Some(0.7),
                ..PictureOrder::default()
            }
        );
        assert_eq!(order.ignored, ["subseed_strength", "styles"]);
        assert_eq!(order.sampler.as_deref(), Some("DPM++ 2M"));
    }

    #[test]
    fn what_would_make_another_picture_is_refused() {
        for (name, value) in [
            ("enable_hr", json!(true)),
            ("alwayson_scripts", json!({"ControlNet": {"args": []}})),
            ("script_name", json!("x/y/z plot")),
            ("restore_faces", json!(true)),
            ("tiling", json!(true)),
            ("batch_size", json!(33)),
            ("seed", json!("x")),
        ] {
            let mut body = json!({"prompt": "a cat"});
            body[name] = value;
            let Err(Error::Invalid(faults)) = order(&body) else { panic!("{body} is taken") };
            assert_eq!(faults[0].pointer, format!("/{name}"));
        }
    }
}
