//! Reads from the API server what is not watched: the spec of a job that was queued long ago, a workflow's ConfigMap,
//! the labels of a namespace, and whether a job is really gone.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crds::{
    ConfigMapRef, ImageJob, ImageJobSpec, ImageRecipe, ImageRecipeSpec, JobSource,
    names::ANNOTATION_TRACEPARENT,
};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, api::ListParams, core::PartialObjectMeta};
use tokio::sync::mpsc;

use super::{Failure, Sender, Server};
use crate::{
    imagejob::{inputs::File, validate::Source},
    index::{PoolKey, Uid, Whole},
};

/// The metrics' label of this executor.
const NAME: &str = "loader";
/// Questions under way at once; a job may have a megabyte of workflow.
const AT_ONCE: usize = 8;
/// Questions that wait at most.
const WAITING: usize = 64;
/// Jobs in a page of a list, with their specs, and without.
const JOBS_A_PAGE: u32 = 20;
const UIDS_A_PAGE: u32 = 500;

/// A job and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) uid: Uid,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// A job, if it is not at hand, and what it refers to. `labels`: of its namespace too.
    Job { place: Place, whole: Option<Box<Whole>>, labels: bool },
    /// The same of many jobs.
    Jobs(HashSet<Uid>),
    /// Whether a job is there.
    IsThere(Place),
    /// Which of these jobs, wherever they may be, are not there.
    Gone(HashSet<Uid>),
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    Job {
        uid: Uid,
        result: Result<Box<Loaded>, Missing>,
    },
    /// Of many jobs, those that could not be read are to be asked for again.
    Unread(Vec<Uid>),
    IsThere {
        uid: Uid,
        there: bool,
    },
    Gone(Vec<Uid>),
}

/// A job, and what it refers to.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) whole: Whole,
    /// The text of a workflow's ConfigMap, the job's or its recipe's.
    pub(crate) workflow: Source<Vec<u8>>,
    pub(crate) recipe: Source<Box<ImageRecipeSpec>>,
    /// Inputs in ConfigMaps and of other jobs, by their names.
    pub(crate) files: BTreeMap<String, Source<File>>,
    /// Of the job's namespace, if they were asked for.
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

impl Loaded {
    /// A job that refers to nothing.
    pub(crate) fn alone(whole: Whole) -> Self {
        Self { whole, workflow: Source::Inline, recipe: Source::Inline, files: BTreeMap::new(), labels: None }
    }
}

/// Why there is nothing.
#[derive(Debug)]
pub(crate) enum Missing {
    /// The job is gone.
    Job,
    /// It may be asked again.
    Unanswered(String),
}

/// Takes questions.
pub(crate) type Loader = Sender<Question>;

/// The executor, its work, and where its answers come.
pub(crate) fn open(server: Server) -> (Loader, impl Future<Output = ()>, mpsc::Receiver<Found>) {
    let (loader, questions) = Sender::new(server.clone(), NAME, WAITING);
    let (answers, answered) = mpsc::channel(AT_ONCE);
    (loader, run(server, questions, answers), answered)
}

async fn run(server: Server, questions: impl Stream<Item = Question>, answers: mpsc::Sender<Found>) {
    questions.for_each_concurrent(AT_ONCE, |question| answer(&server, question, &answers)).await;
}

async fn answer(server: &Server, question: Question, answers: &mpsc::Sender<Found>) {
    let found = match question {
        Question::Job { place, whole, labels } => {
            let result = job(server, &place, whole, labels).await;
            Some(Found::Job { uid: place.uid, result: result.map(Box::new) })
        }
        Question::Jobs(wanted) => {
            let unread = jobs(server, wanted, answers).await;
            (!unread.is_empty()).then(|| Found::Unread(unread.into_iter().collect()))
        }
        Question::IsThere(place) => {
            is_there(server, &place).await.map(|there| Found::IsThere { uid: place.uid, there })
        }
        Question::Gone(uids) => gone(server, uids).await.map(|gone| Found::Gone(gone.into_iter().collect())),
    };
    if let Some(found) = found {
        // A closed channel means that the process is ending.
        let _ = answers.send(found).await;
    }
}

async fn job(
    server: &Server,
    place: &Place,
    whole: Option<Box<Whole>>,
    labels: bool,
) -> Result<Loaded, Missing> {
    let whole = match whole {
        Some(whole) => *whole,
        None => {
            let api: Api<ImageJob> = Api::namespaced(server.client.clone(), &place.namespace);
            let job = server.call(NAME, api.get_opt(&place.name)).await.map_err(unanswered)?;
            let is_it = |job: &ImageJob| is_it(&job.metadata, place.uid);
            of(job.filter(is_it).ok_or(Missing::Job)?)
        }
    };
    complete(server, &place.namespace, whole, labels).await
}

fn of(job: ImageJob) -> Whole {
    let traceparent = job.metadata.annotations.and_then(|mut all| all.remove(ANNOTATION_TRACEPARENT));
    Whole { labels: job.metadata.labels.unwrap_or_default(), traceparent, spec: job.spec }
}

/// Reads what a job refers to.
async fn complete(server: &Server, namespace: &str, whole: Whole, labels: bool) -> Result<Loaded, Missing> {
    let mut loaded = Loaded::alone(whole);
    let spec = &loaded.whole.spec;
    let mut workflow = spec.work.workflow.as_ref().and_then(|workflow| workflow.config_map_ref.clone());
    if let Some(asked) = &spec.work.recipe {
        loaded.recipe = recipe(server, namespace, &asked.name).await?;
        if let Source::Found(recipe) = &loaded.recipe {
            workflow.clone_from(&recipe.config_map_ref);
        }
    }
    if let Some(reference) = &workflow {
        loaded.workflow = content(server, namespace, reference).await?;
    }
    loaded.files = files(server, namespace, spec).await?;
    loaded.labels = if labels { Some(namespace_labels(server, namespace).await?) } else { None };
    Ok(loaded)
}

async fn recipe(
    server: &Server,
    namespace: &str,
    name: &str,
) -> Result<Source<Box<ImageRecipeSpec>>, Missing> {
    let api: Api<ImageRecipe> = Api::namespaced(server.client.clone(), namespace);
    let found = server.call(NAME, api.get_opt(name)).await.map_err(unanswered)?;
    Ok(match found {
        Some(recipe) => Source::Found(Box::new(recipe.spec)),
        None => Source::Missing { message: format!("ImageRecipe {namespace}/{name} does not exist (yet)") },
    })
}

/// The inputs that workers can't read.
async fn files(
    server: &Server,
    namespace: &str,
    spec: &ImageJobSpec,
) -> Result<BTreeMap<String, Source<File>>, Missing> {
    let mut files = BTreeMap::new();
    for input in &spec.inputs {
        let file = match (&input.from.config_map_key, &input.from.job) {
            (Some(reference), _) => content(server, namespace, reference).await?.map(File::Bytes),
            (None, Some(source)) => file_of(server, namespace, source).await?,
            (None, None) => continue,
        };
        files.insert(input.name.clone(), file);
    }
    Ok(files)
}

/// A file that another job of the namespace made.
async fn file_of(server: &Server, namespace: &str, source: &JobSource) -> Result<Source<File>, Missing> {
    let JobSource { name, index, output } = source;
    let api: Api<ImageJob> = Api::namespaced(server.client.clone(), namespace);
    let found = server.call(NAME, api.get_opt(name)).await.map_err(unanswered)?;
    let missing = |why: String| Source::Missing { message: format!("ImageJob {namespace}/{name} {why}") };
    let Some(job) = found else { return Ok(missing("does not exist (yet)".to_owned())) };
    let Some(status) = job.status else { return Ok(missing("has made nothing yet".to_owned())) };
    let result = status.results.iter().find(|result| result.index == *index);
    let file = result.and_then(|result| result.outputs.get(*output as usize));
    Ok(match (file, status.pool) {
        (Some(file), Some(pool)) => Source::Found(File::Object {
            pool: PoolKey::new(Arc::from(pool.namespace), Arc::<str>::from(pool.name)),
            key: file.key.clone(),
        }),
        _ if status.completion_time.is_some() => {
            missing(format!("has ended, and its status lists no output {output} of image {index}"))
        }
        _ => missing(format!("has not made output {output} of image {index} yet")),
    })
}

/// Reads many jobs by a list, page by page; those that could not be read.
async fn jobs(server: &Server, mut wanted: HashSet<Uid>, answers: &mpsc::Sender<Found>) -> HashSet<Uid> {
    let api: Api<ImageJob> = Api::all(server.client.clone());
    let mut page = ListParams::default().limit(JOBS_A_PAGE);
    let mut unread = HashSet::new();
    loop {
        let list = match server.call(NAME, api.list(&page)).await {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!(%error, "jobs to be queued again can't be read, trying again");
                unread.extend(wanted);
                return unread;
            }
        };
        for job in list.items {
            let uid = job.metadata.uid.as_deref().and_then(|uid| uid.parse().ok());
            let Some(uid) = uid.filter(|uid| wanted.remove(uid)) else { continue };
            let namespace = job.metadata.namespace.clone().unwrap_or_default();
            match complete(server, &namespace, of(job), false).await {
                Err(Missing::Unanswered(_)) => drop(unread.insert(uid)),
                result => {
                    let _ = answers.send(Found::Job { uid, result: result.map(Box::new) }).await;
                }
            }
        }
        match list.metadata.continue_.filter(|next| !next.is_empty() && !wanted.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => break,
        }
    }
    for uid in wanted {
        let _ = answers.send(Found::Job { uid, result: Err(Missing::Job) }).await;
    }
    unread
}

/// What stands under a key. kubectl puts what is no UTF-8 text among the binary data.
async fn content(
    server: &Server,
    namespace: &str,
    reference: &ConfigMapRef,
) -> Result<Source<Vec<u8>>, Missing> {
    let ConfigMapRef { name, key } = reference;
    let at = format!("ConfigMap {namespace}/{name}");
    let api: Api<ConfigMap> = Api::namespaced(server.client.clone(), namespace);
    let Some(config_map) = server.call(NAME, api.get_opt(name)).await.map_err(unanswered)? else {
        return Ok(Source::Missing { message: format!("{at} does not exist (yet)") });
    };
    let ConfigMap { binary_data, data, .. } = config_map;
    let binary = binary_data.and_then(|mut data| data.remove(key)).map(|bytes| bytes.0);
    let text = || data.and_then(|mut data| data.remove(key)).map(String::into_bytes);
    Ok(match binary.or_else(text) {
        Some(found) => Source::Found(found),
        None => Source::Missing { message: format!("{at} has no key {key:?} (yet)") },
    })
}

async fn namespace_labels(server: &Server, namespace: &str) -> Result<BTreeMap<String, String>, Missing> {
    let api: Api<Namespace> = Api::all(server.client.clone());
    let found = server.call(NAME, api.get_metadata_opt(namespace)).await.map_err(unanswered)?;
    Ok(found.and_then(|namespace| namespace.metadata.labels).unwrap_or_default())
}

/// `None`: it can't be told.
async fn is_there(server: &Server, place: &Place) -> Option<bool> {
    let api: Api<ImageJob> = Api::namespaced(server.client.clone(), &place.namespace);
    match server.call(NAME, api.get_metadata_opt(&place.name)).await {
        Ok(job) => Some(job.is_some_and(|job| is_it(&job.metadata, place.uid))),
        Err(error) => {
            tracing::debug!(job = %place.uid, %error, "whether the job is gone can't be told yet");
            None
        }
    }
}

/// `None`: it can't be told. A job is created before it is queued, so one that this list does not show is gone.
async fn gone(server: &Server, mut uids: HashSet<Uid>) -> Option<HashSet<Uid>> {
    let api: Api<PartialObjectMeta<ImageJob>> = Api::all(server.client.clone());
    let mut page = ListParams::default().limit(UIDS_A_PAGE);
    loop {
        let list = server.call(NAME, api.list_metadata(&page)).await.ok()?;
        for job in list.items {
            if let Some(uid) = job.metadata.uid.as_deref().and_then(|uid| uid.parse().ok()) {
                uids.remove(&uid);
            }
        }
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) if !uids.is_empty() => page = page.continue_token(&next),
            _ => return Some(uids),
        }
    }
}

fn is_it(metadata: &kube::core::ObjectMeta, uid: Uid) -> bool {
    metadata.uid.as_deref().and_then(|found| found.parse().ok()) == Some(uid)
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn unanswered(failure: Failure) -> Missing {
    Missing::Unanswered(failure.to_string())
}

#[cfg(test)]
mod tests;
