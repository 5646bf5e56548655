//! What the engine has: its node definitions, its models, its version.

use serde::Deserialize;

use super::{Client, Engine, Error};

/// Folders among those of models that hold none.
const OTHERS: [&str; 2] = ["configs", "custom_nodes"];

/// A model in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Model {
    /// The folder, as the engine calls it.
    pub folder: String,
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

    /// The models in its folders, sorted.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        let mut folders: Vec<String> = self.client().list("models").await?;
        folders.retain(|folder| !OTHERS.contains(&folder.as_str()));
        let mut models = Vec::new();
        for folder in &folders {
            models.extend(models_in(self.client(), folder).await?);
        }
        models.sort();
        Ok(models)
    }
}

/// An older engine lists names only.
async fn models_in(client: &Client, folder: &str) -> Result<Vec<Model>, Error> {
    let with_sizes: Result<Vec<Listed>, Error> = client.list(&format!("experiment/models/{folder}")).await;
    match with_sizes {
        Ok(files) => {
            let model = |Listed { name, size }| Model { folder: folder.to_owned(), name, bytes: size };
            return Ok(files.into_iter().map(model).collect());
        }
        Err(error) if error.is_answer() => {}
        Err(error) => return Err(error),
    }
    let names: Result<Vec<String>, Error> = client.list(&format!("models/{folder}")).await;
    match names {
        Ok(names) => {
            let model = |name| Model { folder: folder.to_owned(), name, bytes: None };
            Ok(names.into_iter().map(model).collect())
        }
        Err(error) if error.is_answer() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
