//! What the engine has: its node definitions, its models, its version.

use serde::Deserialize;

use super::{Client, Engine, Error};

/// The folders of models that loaders of ComfyUI take files from, by their present names and by those before.
const FOLDERS: [&str; 12] = [
    "checkpoints",
    "clip",
    "clip_vision",
    "controlnet",
    "diffusion_models",
    "embeddings",
    "loras",
    "style_models",
    "text_encoders",
    "unet",
    "upscale_models",
    "vae",
];

/// A model in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Model {
    /// The folder.
    pub folder: &'static str,
    /// The name of its file there.
    pub name: String,
    /// Its size; `None` where the engine does not tell it.
    pub bytes: Option<u64>,
}

/// As `/experiment/models/FOLDER` lists it.
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    size: Option<u64>,
}

impl Engine {
    /// Its node definitions, `GET /object_info`, as JSON that any parser takes.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn definitions(&self) -> Result<String, Error> {
        self.client().object_info().await
    }

    /// The models in its folders, sorted; none of a folder that it does not have.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        let mut models = Vec::new();
        for folder in FOLDERS {
            models.extend(models_in(self.client(), folder).await?);
        }
        models.sort();
        Ok(models)
    }
}

/// An older engine lists names only.
async fn models_in(client: &Client, folder: &'static str) -> Result<Vec<Model>, Error> {
    let with_sizes: Result<Vec<Listed>, Error> = client.list(&format!("experiment/models/{folder}")).await;
    match with_sizes {
        Ok(files) => {
            let model = |Listed { name, size }| Model { folder, name, bytes: size };
            return Ok(files.into_iter().map(model).collect());
        }
        Err(error) if error.is_answer() => {}
        Err(error) => return Err(error),
    }
    let names: Result<Vec<String>, Error> = client.list(&format!("models/{folder}")).await;
    match names {
        Ok(names) => Ok(names.into_iter().map(|name| Model { folder, name, bytes: None }).collect()),
        Err(error) if error.is_answer() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
