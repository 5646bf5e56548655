//! A form is sent: it becomes a job.

use std::collections::HashMap;

use axum::{
    extract::{FromRequest as _, Multipart, Request, State, multipart::Field},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    FRONT, fields,
    form::{self, Form},
    gallery::TITLE,
    home::{self, Wanted},
    refusal::{Refusal, answer, words},
    session,
};
use crate::{
    app::App,
    auth::Caller,
    error::{Error, Fault},
    http::{Mount, body::BODY_AT_MOST},
    jobs::{IdempotencyKey, Submission},
    uploads::{Description, Folder, Uploaded, broken, bytes_of},
};

/// The fields of a form at most: a recipe has up to 50 inputs.
const MOST_FIELDS: usize = 64;
/// What the job's title has at most, in characters.
const LONGEST_TITLE: usize = 120;

/// A form as somebody has filled it in.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) recipe: Option<String>,
    /// The texts of the fields by their names.
    pub(crate) values: HashMap<String, String>,
    /// What makes the same form, sent twice, one job.
    pub(crate) token: Option<String>,
    /// What was wrong, as a whole and field by field.
    pub(crate) problem: Option<String>,
    pub(crate) faults: Vec<Fault>,
}

/// What a form sends.
#[derive(Debug, Default)]
struct Sent {
    texts: HashMap<String, String>,
    files: HashMap<String, Uploaded>,
}

/// Creates the job; what is wrong is said in the form, which keeps what was entered.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let caller = session::caller(&app, request.headers()).await?;
    caller.may_write()?;
    let sent = read(&app, &caller, request).await?;
    match submit(&app, &caller, &sent).await {
        Ok(job) => Ok(Redirect::to(&format!("/?made={job}{}", again(&sent))).into_response()),
        Err(error) => {
            let draft = draft(sent, &error);
            let page = home::whole(&app, &caller, &Wanted::default(), &draft).await;
            Ok(answer(&error, page))
        }
    }
}

/// The recipe whose form is shown next: the same.
fn again(sent: &Sent) -> String {
    // A recipe's name is one of Kubernetes, and needs no escape in a query.
    sent.texts
        .get("recipe")
        .filter(|name| !name.is_empty())
        .map_or_else(String::new, |name| format!("&recipe={name}"))
}

fn draft(sent: Sent, error: &Error) -> Draft {
    let Sent { mut texts, files: _ } = sent;
    let token = texts.remove("token").filter(|_| *error != Error::KeyReused);
    let faults = match error {
        Error::Invalid(faults) => faults.clone(),
        _ => vec![],
    };
    let in_fields = !faults.is_empty() && faults.iter().all(|fault| fault.pointer.starts_with("/inputs/"));
    let problem = if in_fields { "Look at the fields that are marked.".to_owned() } else { words(error) };
    Draft { recipe: texts.remove("recipe"), values: texts, token, problem: Some(problem), faults }
}

async fn submit(app: &App, caller: &Caller, sent: &Sent) -> Result<String, Error> {
    let text = |name: &str| sent.texts.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let forms = form::forms(app, caller).await?;
    let form = forms.get(text("recipe"))?;
    let token = text("token").and_then(|token| Uuid::parse_str(token).ok());
    let token = token.ok_or_else(|| Error::invalid("", "the form's token is missing; reload the page"))?;
    let count: u32 = text("count")
        .unwrap_or("1")
        .trim()
        .parse()
        .map_err(|_| Error::invalid("/count", "give a whole number of images"))?;
    let (values, inputs) = values(form, sent)?;
    let mut spec =
        Map::from_iter([("work".to_owned(), form.work(&values)), ("count".to_owned(), json!(count))]);
    if !inputs.is_empty() {
        spec.insert("inputs".to_owned(), json!(inputs));
    }
    if let Some(class) = text("class") {
        spec.insert("class".to_owned(), json!(class));
    }
    let order = Submission {
        spec,
        front: FRONT,
        key: Some(IdempotencyKey::parse(&format!("{FRONT} {token}"))?),
        kept: Map::from_iter([(TITLE.to_owned(), json!(title(form, &values)))]),
        ..Submission::default()
    };
    Ok(app.submit(caller, order).await?.job.name.clone())
}

/// The values of the form's inputs, and the files among them as the job's inputs.
fn values(form: &Form, sent: &Sent) -> Result<(Map<String, Value>, Vec<Value>), Error> {
    let (mut values, mut inputs, mut faults) = (Map::new(), vec![], vec![]);
    for input in &form.inputs {
        let name = format!("{}{}", fields::PREFIX, input.name);
        if let Some(file) = sent.files.get(&name) {
            values.insert(input.name.clone(), json!(input.name));
            inputs.push(file.input(&input.name));
            continue;
        }
        match fields::value(input, sent.texts.get(&name).map(String::as_str)) {
            Ok(Some(value)) => drop(values.insert(input.name.clone(), value)),
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok((values, inputs)) } else { Err(Error::Invalid(faults)) }
}

/// The first text of the form, shortened: what the gallery calls the job.
fn title(form: &Form, values: &Map<String, Value>) -> String {
    let texts = form.inputs.iter().filter(|input| input.kind == crds::RecipeInputType::String);
    let mut texts =
        texts.filter_map(|input| values.get(&input.name)?.as_str()).filter(|text| !text.trim().is_empty());
    let text = texts.next().unwrap_or(&form.name).trim();
    let title: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_TITLE).collect();
    if text.chars().count() > LONGEST_TITLE { format!("{title}…") } else { title }
}

async fn read(app: &App, caller: &Caller, request: Request) -> Result<Sent, Error> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(&error))?;
    let (mut sent, mut room, mut folder) = (Sent::default(), BODY_AT_MOST, None);
    for _ in 0..MOST_FIELDS {
        let Some(part) = form.next_field().await.map_err(|error| broken(&error))? else { return Ok(sent) };
        let Some(name) = part.name().map(str::to_owned) else { continue };
        let Some(file_name) = part.file_name().map(str::to_owned) else {
            sent.texts.insert(name, text(part, &mut room).await?);
            continue;
        };
        // A file field that is left empty comes as a file without a name.
        if file_name.is_empty() {
            continue;
        }
        let folder = match &mut folder {
            Some(folder) => folder,
            none => none.insert(Folder::to_fill(app, caller, &Mount::default()).await?),
        };
        let media_type = part.content_type().map(str::to_owned);
        let description = Description { name: Some(file_name), media_type, id: None };
        let (uploaded, _is_new) = folder.take(description, part).await?;
        sent.files.insert(name, uploaded);
    }
    Err(Error::invalid("", format!("the form has more than {MOST_FIELDS} fields")))
}

/// A field's text. `room`: the bytes that all texts together may still have.
async fn text(mut part: Field<'_>, room: &mut usize) -> Result<String, Error> {
    let bytes = bytes_of(&mut part, *room).await.map_err(|error| match error {
        Error::TooLarge { .. } => Error::TooLarge { most: BODY_AT_MOST },
        other => other,
    })?;
    *room -= bytes.len();
    String::from_utf8(bytes.into()).map_err(|_| Error::invalid("", "the form is no text in UTF-8"))
}
