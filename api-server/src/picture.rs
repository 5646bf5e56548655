//! A picture from a text, as clients ask for it that know no types of work: OpenAI's, A1111's and RunPod's.

use serde_json::{Map, Value, json};

use crate::{
    app::App, cache::Tenant, error::Error, fields::Fields, http::Mount, models, samplers::engine_names,
};

/// What is asked for. What is left out is as usual for the model's family.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PictureOrder {
    pub(crate) prompt: String,
    pub(crate) negative_prompt: Option<String>,
    /// By its name or an alias.
    pub(crate) model: Option<String>,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) steps: Option<u32>,
    pub(crate) cfg_scale: Option<f64>,
    pub(crate) sampler: Option<String>,
    pub(crate) scheduler: Option<String>,
    /// Of the first picture; `None`: one is drawn.
    pub(crate) seed: Option<u64>,
    /// How many pictures; 0 counts as 1.
    pub(crate) count: u32,
    /// Where a picture to start from comes from (an `InputSource`), and how far the result may leave it.
    pub(crate) image: Option<Value>,
    /// A mask for it: white is painted anew.
    pub(crate) mask: Option<Value>,
    pub(crate) strength: Option<f64>,
}

impl PictureOrder {
    /// What all of these clients call alike.
    ///
    /// # Errors
    /// [`Error::Invalid`] of a value that is not of its kind.
    pub(crate) fn of_fields(fields: &mut Fields) -> Result<Self, Error> {
        let sampler = fields.filled_text(&["sampler", "sampler_name"])?;
        let (sampler, scheduler) = engine_names(sampler, fields.filled_text(&["scheduler"])?);
        Ok(Self {
            prompt: fields.text(&["prompt"])?.unwrap_or_default(),
            negative_prompt: fields.text(&["negative_prompt"])?,
            steps: fields.whole(&["num_inference_steps", "steps"])?,
            cfg_scale: fields.number(&["guidance_scale", "cfg_scale", "cfg"])?,
            sampler,
            scheduler,
            seed: fields.seed(&["seed"])?,
            strength: fields.number(&["strength", "denoising_strength"])?,
            ..Self::default()
        })
    }

    /// The spec of the ImageJob.
    ///
    /// # Errors
    /// When the model is not known.
    pub(crate) fn spec(
        &self,
        app: &App,
        tenant: &Tenant,
        mount: &Mount,
    ) -> Result<Map<String, Value>, Error> {
        let model = models::meant(app, tenant, mount, self.model.as_deref())?;
        Ok(self.spec_with(&model))
    }

    fn spec_with(&self, model: &str) -> Map<String, Value> {
        let mut work = Map::new();
        work.insert("model".to_owned(), json!(model));
        work.insert("prompt".to_owned(), json!(self.prompt));
        let mut optional = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                work.insert(name.to_owned(), value);
            }
        };
        optional(
            "negativePrompt",
            self.negative_prompt.as_ref().filter(|text| !text.is_empty()).map(|text| json!(text)),
        );
        optional("steps", self.steps.map(|steps| json!(steps)));
        optional("cfgScale", self.cfg_scale.map(decimal));
        optional("sampler", self.sampler.as_ref().map(|name| json!(name)));
        optional("scheduler", self.scheduler.as_ref().map(|name| json!(name)));
        // As a string, since the cluster's API server rounds large numbers.
        optional("seed", self.seed.map(|seed| json!(seed.to_string())));
        let mut inputs = vec![];
        let kind = match &self.image {
            None => {
                optional("width", self.width.map(|width| json!(width)));
                optional("height", self.height.map(|height| json!(height)));
                "textToImage"
            }
            Some(image) => {
                inputs.push(json!({ "name": IMAGE, "from": image }));
                optional("image", Some(json!(IMAGE)));
                optional("strength", self.strength.map(decimal));
                if let Some(mask) = &self.mask {
                    inputs.push(json!({ "name": MASK, "from": mask }));
                    optional("mask", Some(json!(MASK)));
                }
                "imageToImage"
            }
        };
        let type_name = if inputs.is_empty() { "TextToImage" } else { "ImageToImage" };
        let mut spec = Map::new();
        spec.insert("work".to_owned(), json!({ "type": type_name, kind: work }));
        if !inputs.is_empty() {
            spec.insert("inputs".to_owned(), json!(inputs));
        }
        if self.count > 1 {
            spec.insert("count".to_owned(), json!(self.count));
        }
        spec
    }
}

const IMAGE: &str = "image";
const MASK: &str = "mask";

/// Numbers with a fraction are decimal strings in the ImageJob API, exact to a thousandth.
fn decimal(number: f64) -> Value {
    let rounded = (number * 1000.0).round() / 1000.0;
    json!(format!("{rounded}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_becomes_the_work_of_a_job() {
        let order = PictureOrder {
            prompt: "a cat".into(),
            cfg_scale: Some(7.0),
            seed: Some(u64::MAX),
            count: 3,
            width: Some(512),
            ..PictureOrder::default()
        };
        let spec = Value::Object(order.spec_with("sd15.safetensors"));
        let text = json!({"model": "sd15.safetensors", "prompt": "a cat", "cfgScale": "7", "seed": "18446744073709551615", "width": 512});
        assert_eq!(spec, json!({"work": {"type": "TextToImage", "textToImage": text}, "count": 3}));
        let source = json!({"s3": {"key": "uploads/a"}});
        let order = PictureOrder { image: Some(source.clone()), strength: Some(0.30000001), ..order };
        let spec = Value::Object(order.spec_with("sd15.safetensors"));
        assert_eq!(spec["work"]["imageToImage"]["strength"], "0.3");
        assert_eq!(
            (&spec["work"]["imageToImage"]["width"], &spec["inputs"]),
            (&Value::Null, &json!([{"name": "image", "from": source}]))
        );
    }
}
