//! The form that asks for images: made from a recipe's inputs.

use std::collections::BTreeSet;

use crds::{ImageRecipe, RecipeInput};
use kube::ResourceExt as _;
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{create::Draft, fields};
use crate::{app::App, auth::Caller, error::Error, http::Mount, models};

/// What a form makes.
#[derive(Debug)]
pub(crate) enum Makes {
    /// A picture from a text, without a recipe of the tenant's.
    Text,
    Recipe,
}

/// A form.
#[derive(Debug)]
pub(crate) struct Form {
    /// The recipe's name; empty: the one for a picture from a text.
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) inputs: Vec<RecipeInput>,
    pub(crate) makes: Makes,
}

/// All forms of a tenant, with the classes of jobs that it may choose.
#[derive(Debug)]
pub(crate) struct Forms {
    pub(crate) forms: Vec<Form>,
    pub(crate) classes: Vec<String>,
}

impl Forms {
    /// The form of this recipe, or the first where none is named.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant may use no such recipe.
    pub(crate) fn get(&self, recipe: Option<&str>) -> Result<&Form, Error> {
        let name = recipe.unwrap_or_default();
        let found = self.forms.iter().find(|form| form.name == name);
        found.ok_or_else(|| Error::NotFound { what: "recipe", name: name.to_owned() })
    }
}

impl Form {
    /// The job's work with these values.
    pub(crate) fn work(&self, values: &Map<String, Value>) -> Value {
        match self.makes {
            Makes::Text => json!({ "type": "TextToImage", "textToImage": values }),
            Makes::Recipe => json!({ "type": "Recipe", "recipe": { "name": self.name, "inputs": values } }),
        }
    }
}

/// The forms that the caller may fill in.
///
/// # Errors
/// When the recipes can't be read.
pub(crate) async fn forms(app: &App, caller: &Caller) -> Result<Forms, Error> {
    let mut recipes = app.jobs.recipes(&caller.tenant).await?;
    recipes.sort_by_key(ImageRecipe::name_any);
    let mut forms = vec![from_text(app, caller)?];
    forms.extend(recipes.into_iter().map(|recipe| Form {
        name: recipe.name_any(),
        description: recipe.spec.description,
        inputs: recipe.spec.inputs,
        makes: Makes::Recipe,
    }));
    let pool = caller.tenant.pools(&app.cache.pools).into_iter().next();
    let classes = pool.iter().flat_map(|(_, pool)| &pool.spec.classes).map(|class| class.name.clone());
    let classes = classes.filter(|class| caller.tenant.may_have_class(class)).collect();
    Ok(Forms { forms, classes })
}

/// A picture from a text, as if it were a recipe.
fn from_text(app: &App, caller: &Caller) -> Result<Form, Error> {
    let mut known: BTreeSet<String> = models::names(app, &caller.tenant, &Mount::default());
    let default = caller.tenant.spec.default_model.clone().or_else(|| known.first().cloned());
    known.extend(default.clone());
    let model = if known.is_empty() {
        json!({ "type": "String", "maxLength": 200 })
    } else {
        json!({ "type": "Enum", "choices": known })
    };
    let mut inputs = json!([
        { "name": "prompt", "type": "String", "required": true, "maxLength": 10_000, "description": "What the image shows." },
        { "name": "negativePrompt", "type": "String", "maxLength": 10_000, "description": "What it does not show." },
        { "name": "model", "required": true, "default": default },
        { "name": "width", "type": "Integer", "minimum": 64, "maximum": 4096, "description": "Pixels, a multiple of 8. Empty: as the model likes it." },
        { "name": "height", "type": "Integer", "minimum": 64, "maximum": 4096 },
        { "name": "steps", "type": "Integer", "minimum": 1, "maximum": 200 },
        { "name": "seed", "type": "Seed", "description": "The same seed makes the same image." },
    ]);
    for input in inputs.as_array_mut().into_iter().flatten() {
        input["to"] = json!([]);
        if input["name"] == "model"
            && let (Some(input), Some(more)) = (input.as_object_mut(), model.as_object())
        {
            input.extend(more.clone());
        }
    }
    let inputs = serde_json::from_value(inputs).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Form { name: String::new(), description: String::new(), inputs, makes: Makes::Text })
}

/// What is shown of the forms: which there are, and the one that is chosen.
pub(crate) fn form(forms: &Forms, draft: &Draft) -> Markup {
    let chosen = forms.get(draft.recipe.as_deref());
    html! {
        @if forms.forms.len() > 1 {
            form.choose method="get" action="/" {
                label for="recipe" { "Recipe" }
                select id="recipe" name="recipe" {
                    @for form in &forms.forms {
                        option value=(form.name) selected[draft.recipe.as_deref().unwrap_or_default() == form.name] { (shown(form)) }
                    }
                }
                button.plain type="submit" { "Show its form" }
            }
        }
        @match chosen {
            Ok(form) => (entry(forms, form, draft)),
            Err(error) => p.notice.bad role="alert" { (super::refusal::words(&error)) },
        }
    }
}

fn shown(form: &Form) -> &str {
    if form.name.is_empty() { "Text to image" } else { &form.name }
}

fn entry(forms: &Forms, form: &Form, draft: &Draft) -> Markup {
    let token = draft.token.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let given = |name: &str| draft.values.get(name).map(String::as_str);
    html! {
        form.stack method="post" action="/ui/jobs" enctype="multipart/form-data" aria-label=(shown(form)) {
            @if let Some(problem) = &draft.problem { p.notice.bad role="alert" { (problem) } }
            @if !form.description.is_empty() { p.help { (form.description) } }
            input type="hidden" name="token" value=(token);
            input type="hidden" name="recipe" value=(form.name);
            @for input in &form.inputs {
                (fields::field(input, given(&format!("{}{}", fields::PREFIX, input.name)), &draft.faults))
            }
            div.row {
                div.field {
                    label for="count" { "Images" }
                    input id="count" name="count" type="number" min="1" step="1" required value=(given("count").unwrap_or("1"));
                }
                @if forms.classes.len() > 1 {
                    div.field {
                        label for="class" { "Class" }
                        select id="class" name="class" {
                            option value="" { "the usual" }
                            @for class in &forms.classes {
                                option value=(class) selected[given("class") == Some(class)] { (class) }
                            }
                        }
                    }
                }
            }
            button type="submit" { "Make" }
        }
    }
}
