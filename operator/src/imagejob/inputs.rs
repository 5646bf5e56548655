//! Where the files are that a job starts from, and whether its pool lets it have them. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::{ImageJobSpec, Input, InputSources, WorkOf, WorkerPool, conditions::JobReason};
use queue::{InputKind, InputSource, TaskInput};
use workflow::InputPath;

use super::validate::{Problem, References, Source};
use crate::index::JobRecord;

/// Inputs of nodes by these names take pictures (`LoadImage.image`, `LoadImageMask.image`): workers decode what goes there,
/// and refuse what is none. A file that goes anywhere else may be of any kind that the engine loads.
const PICTURE_INPUTS: [&str; 3] = ["image", "mask", "images"];

/// A file that the operator read or found for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum File {
    /// Its bytes, from a ConfigMap.
    Bytes(Vec<u8>),
    /// Its key in the pool's bucket: another job made it.
    Object { pool: crate::index::PoolKey, key: String },
}

/// What workers fetch. `used`: by name, where each goes in the graph.
pub(super) fn resolve(
    record: &JobRecord,
    spec: &ImageJobSpec,
    pool: &WorkerPool,
    references: &References,
    used: &[(String, Vec<InputPath>)],
    is_new: bool,
) -> Result<Vec<TaskInput>, Problem> {
    let mut inputs = Vec::with_capacity(spec.inputs.len());
    for input in &spec.inputs {
        let Some((_, paths)) = used.iter().find(|(name, _)| *name == input.name) else {
            let why = format!(
                "spec.inputs[{}]: the work does not use it; a node that loads a file takes its name, e.g. image: {}",
                input.name, input.name
            );
            return Err(Problem::ends(JobReason::WorkflowInvalid, why));
        };
        let kind = match paths.iter().all(|path| PICTURE_INPUTS.contains(&path.input.as_str())) {
            true => InputKind::Picture,
            false => InputKind::File,
        };
        inputs.push(TaskInput {
            name: input.name.clone(),
            source: source(record, input, pool, references, is_new)?,
            sha256: input.sha256.clone(),
            kind,
            to: paths.iter().map(ToString::to_string).collect(),
            max_bytes: pool.spec.inputs.max_bytes,
            max_pixels: pool.spec.limits.max_pixels.filter(|_| is_start(spec, &input.name)),
        });
    }
    Ok(inputs)
}

/// Whether the images of the job get the size of this picture.
fn is_start(spec: &ImageJobSpec, name: &str) -> bool {
    matches!(spec.work.of_type(), Ok(WorkOf::ImageToImage(asked)) if asked.image == name)
}

fn source(
    record: &JobRecord,
    input: &Input,
    pool: &WorkerPool,
    references: &References,
    is_new: bool,
) -> Result<InputSource, Problem> {
    let InputSources { hosts, object_prefixes, max_bytes } = &pool.spec.inputs;
    let at = |why: String| format!("spec.inputs[{}]: {why}", input.name);
    let not_allowed = |why: String| Problem::waits(JobReason::InputNotAllowed, at(why));
    if let Some(url) = &input.from.url {
        if is_new && !hosts.iter().any(|pattern| is_host(pattern, host(url))) {
            let allowed = if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
            return Err(not_allowed(format!(
                "the pool does not fetch from {:?}; it allows {allowed} (spec.inputs.hosts of the WorkerPool)",
                host(url)
            )));
        }
        return Ok(InputSource::Url { url: url.clone(), hosts: hosts.clone() });
    }
    if let Some(object) = &input.from.s3 {
        let is_below = |prefix: &String| {
            let prefix =
                prefix.replace("{namespace}", &record.namespace).replace("{tenant}", record.tenant());
            object.key.starts_with(&prefix) && !object.key.split('/').any(|part| part == "..")
        };
        // What the HTTP API keeps for the tenant, see `store::Output::uploads`.
        let uploads = format!("{}uploads/{{tenant}}/", pool.spec.output.key_prefix);
        if is_new && !is_below(&uploads) && !object_prefixes.iter().any(is_below) {
            let allowed =
                if object_prefixes.is_empty() { "none".to_owned() } else { object_prefixes.join(", ") };
            return Err(not_allowed(format!(
                "the pool does not let jobs read the object {:?}; it allows the prefixes {allowed} \
                 (spec.inputs.objectPrefixes of the WorkerPool)",
                object.key
            )));
        }
        return Ok(InputSource::Object { key: object.key.clone() });
    }
    match references.files.get(&input.name) {
        Some(Source::Found(File::Bytes(bytes))) if bytes.len() as u64 > *max_bytes => Err(Problem::ends(
            JobReason::WorkflowInvalid,
            at(format!("it has {} bytes, and the pool takes at most {max_bytes}", bytes.len())),
        )),
        Some(Source::Found(File::Bytes(bytes))) => Ok(InputSource::Inline { base64: STANDARD.encode(bytes) }),
        Some(Source::Found(File::Object { pool: of, key })) if references.pool_key.as_ref() == Some(of) => {
            Ok(InputSource::Object { key: key.clone() })
        }
        Some(Source::Found(File::Object { pool: of, .. })) => Err(not_allowed(format!(
            "the other job used WorkerPool {of}; only files of the same pool can be read"
        ))),
        Some(Source::Missing { message }) => {
            Err(Problem::waits(JobReason::InputNotFound, at(message.clone())))
        }
        Some(Source::Inline) | None => Err(Problem::waits(
            JobReason::WorkTypeUnknown,
            at("this operator does not know where it comes from; a newer one does".to_owned()),
        )),
    }
}

/// The host of an https URL, in small letters.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or_default().trim_end_matches('.')
}

/// `*.example.com` stands for every name below it.
fn is_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => {
            let split = host.len().checked_sub(domain.len() + 1);
            split.and_then(|at| host.split_at_checked(at)).is_some_and(|(name, rest)| {
                !name.is_empty()
                    && rest.starts_with('.')
                    && rest.get(1..).is_some_and(|rest| rest.eq_ignore_ascii_case(domain))
            })
        }
        None => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::{host, is_host};

    #[test]
    fn a_host_is_what_the_browser_would_ask() {
        let table = [
            ("https://cdn.example.com/a.png", "cdn.example.com"),
            ("https://cdn.example.com:443?x", "cdn.example.com"),
            ("https://user:word@cdn.example.com/a", "cdn.example.com"),
            ("https://cdn.example.com.", "cdn.example.com"),
            ("https://evil.com\\@cdn.example.com/", "evil.com"),
        ];
        for (url, expected) in table {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn a_pattern_stands_for_names_below_it_and_nothing_else() {
        let table = [
            ("cdn.example.com", "CDN.example.com", true),
            ("cdn.example.com", "x.cdn.example.com", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", ".example.com", false),
        ];
        for (pattern, host, expected) in table {
            assert_eq!(is_host(pattern, host), expected, "{pattern} {host}");
        }
    }
}
