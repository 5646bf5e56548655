//! The API reference: one table a type, read off the schema, so it says what the API server checks.

use crds::{
    conditions::{ConditionType, JobReason, PoolReason},
    events::EventReason,
    names,
};
use serde_json::Value;

const HEADER: &str = "\
<!-- Written by crdgen from the types in crds/src. Do not edit; run: make generate -->
# API reference

Group `imagejob.dev`, version `v1alpha1`. All kinds are namespaced. The API server checks *Limits* and *Rules* when an
object is written, and the policies of `manifests/base/policies.yaml` as well: a job's tenant is its namespace, and an
inline workflow is in ComfyUI's API format, has at most 10000 inputs, and no seed that the API server rounds. What only the
operator can see, e.g. an unknown pool, is in the [conditions](#conditions).

Times are RFC 3339. Prices and amounts are decimal strings, exact to a millionth, in the currency beside them. Fields of
durations end in `Seconds`. Other numbers with a fraction are decimal strings as well, exact to a thousandth; a whole number
needs no quotes.
";

const CHANGES: &str = "
## What may still change before v1beta1

`v1alpha1` may change from one release to the next; CHANGELOG.md names each change. From `v1beta1` on, fields are only added.

| what | today | what may come |
|---|---|---|
| `WorkerPool.spec.fleets` | one of type Spot and one of type OnDemand | several of a type, and Reserved. Their shape stays |
| `WorkerPool.spec.classes[*].fleets` | a spot fleet, an on-demand fleet, or both in this order | any order |
| `WorkerPool.spec.fleets[*].speed`, `.zones[*].pricePerHour` | recorded; the zone's price chooses among zones | both count for decisions and cost |
| `ImageJob.status.results[*].capacity` | the type of the machine, Spot or OnDemand | the name of the fleet beside it |
| `WorkerPool.status.cost.spot`, `.onDemand` | the cost by type of machine | the cost by fleet, in a list |
| labels `imagejob.dev/capacity`, `imagejob.dev/fleet` of worker Pods | both | the first goes |
| `WorkerPool.spec.engine.kind` | ComfyUI | further engines |
| `WorkerPool.spec.segmentSeconds` | a setting of the pool | a setting of a recipe |

**Conversion.** `v1beta1` is served beside `v1alpha1` by a conversion webhook in the operator, which translates both ways
without loss. Both stay served for two releases at least. `v1beta1` becomes the storage version in the release after the one
that first serves it, so that an operator can be rolled back by one release; stored objects are then rewritten.

**Unknown values.** An operator may meet a value that a later version has added, e.g. a fleet's type. It is never dropped and
never replaced: the object stays as it was written, nothing new is begun for it, and a condition says which value is not known
(`SpecUnknown` of a WorkerPool, `WorkTypeUnknown` of an ImageJob). Once the operator is upgraded it goes on by itself.
";

pub(crate) fn document(crds: &[Value]) -> String {
    let mut page = Page { text: HEADER.to_owned(), described: vec![] };
    for crd in crds {
        page.kind(crd);
    }
    page.conditions();
    page.names();
    page.text.push_str(CHANGES);
    page.text
}

struct Page {
    text: String,
    /// Object types described so far, so that a later one of the same kind refers to the first.
    described: Vec<(Value, String)>,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn kind(&mut self, crd: &Value) {
        let names = &crd["spec"]["names"];
        let version = &crd["spec"]["versions"][0];
        let schema = &version["schema"]["openAPIV3Schema"];
        let kind = text(&names["kind"]);
        self.line(format!("\n## {kind}\n\n{}\n", text(&schema["description"])));
        self.line(format!(
            "Short name `{}`, category `{}`. `kubectl get` shows:\n",
            text(&names["shortNames"][0]),
            text(&names["categories"][0])
        ));
        self.line("| Column | Field | |\n|---|---|---|");
        for column in list(&version["additionalPrinterColumns"]) {
            let wide = if column["priority"].as_i64().unwrap_or(0) > 0 { " (with -o wide)" } else { "" };
            self.line(format!(
                "| {} | `{}` | {}{wide} |",
                text(&column["name"]),
                text(&column["jsonPath"]),
                text(&column["description"]),
            ));
        }
        self.rules(schema);
        for part in ["spec", "status"] {
            if let Some(schema) = schema["properties"].get(part) {
                self.object(&format!("{kind}.{part}"), schema);
            }
        }
    }

    /// A section for an object type, and one for each object type inside it.
    fn object(&mut self, path: &str, schema: &Value) {
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        self.line(format!("\n### {path}\n"));
        if let Some(description) = schema["description"].as_str() {
            self.line(format!("{description}\n"));
        }
        self.line("| Field | Type | Default | Limits | |\n|---|---|---|---|---|");
        let required = list(&schema["required"]);
        let mut inner = vec![];
        for (name, field) in &properties {
            let path = format!("{path}.{name}");
            let (field_type, object) = self.field_type(&path, field);
            inner.extend(object);
            let default = match field.get("default") {
                Some(default) => format!("`{default}`"),
                None if required.contains(&Value::from(name.as_str())) => "**required**".to_owned(),
                None => String::new(),
            };
            self.line(format!(
                "| `{name}` | {field_type} | {default} | {} | {} |",
                limits(field),
                text(&field["description"])
            ));
        }
        self.rules(schema);
        for (path, schema) in inner {
            self.object(&path, &schema);
        }
    }

    /// The type in words, and the object type in it that needs a section of its own.
    fn field_type(&mut self, path: &str, field: &Value) -> (String, Option<(String, Value)>) {
        match field["type"].as_str() {
            Some("array") => {
                let (inner, object) = self.field_type(&format!("{path}[]"), &field["items"]);
                (format!("list of {inner}"), object)
            }
            Some("object") if field["properties"].is_object() => match self.seen(&field["properties"]) {
                Some(earlier) => (format!("[as {earlier}](#{})", anchor(&earlier)), None),
                None => {
                    self.described.push((field["properties"].clone(), path.to_owned()));
                    (format!("[object](#{})", anchor(path)), Some((path.to_owned(), field.clone())))
                }
            },
            Some("object") if field["additionalProperties"].is_object() => {
                let (inner, object) = self.field_type(&format!("{path}.*"), &field["additionalProperties"]);
                (format!("map of {inner}"), object)
            }
            Some("object") => ("object, kept as it is".to_owned(), None),
            Some("string") if field["format"] == "date-time" => ("time".to_owned(), None),
            Some(scalar) => (scalar.to_owned(), None),
            None if field["x-kubernetes-int-or-string"] == true => ("integer or string".to_owned(), None),
            None => ("any value".to_owned(), None),
        }
    }

    fn seen(&self, properties: &Value) -> Option<String> {
        self.described.iter().find(|(known, _)| known == properties).map(|(_, path)| path.clone())
    }

    /// The rules of an object and of its fields. Objects inside it have sections of their own.
    fn rules(&mut self, schema: &Value) {
        let own = list(&schema["x-kubernetes-validations"]).into_iter().map(|rule| rule_text(&rule));
        let fields = schema["properties"].as_object().into_iter().flatten();
        let of_fields =
            fields.filter(|(_, field)| !field["properties"].is_object()).flat_map(|(name, field)| {
                let rules = list(&field["x-kubernetes-validations"]);
                rules.into_iter().map(move |rule| format!("`{name}`: {}", rule_text(&rule)))
            });
        let lines: Vec<_> = own.chain(of_fields).map(|rule| format!("- {rule}")).collect();
        if !lines.is_empty() {
            self.line(format!("\nRules:\n\n{}", lines.join("\n")));
        }
    }

    fn conditions(&mut self) {
        self.line("\n## Conditions\n\nThey follow kstatus, which `kubectl wait` and Flux understand; for Argo CD there are scripts in \
             `manifests/gitops/argocd`.\n");
        self.constants("Type", ConditionType::ALL.iter().map(|c| (c.as_str(), c.meaning())));
        self.line("\n### Reasons of an ImageJob\n");
        self.constants("Reason", JobReason::ALL.iter().map(|c| (c.as_str(), c.meaning())));
        self.line("\n### Reasons of a WorkerPool\n");
        self.constants("Reason", PoolReason::ALL.iter().map(|c| (c.as_str(), c.meaning())));
        self.line("\n## Events\n");
        self.constants("Reason", EventReason::ALL.iter().map(|c| (c.as_str(), c.meaning())));
    }

    fn constants<'a>(&mut self, title: &str, constants: impl Iterator<Item = (&'a str, &'a str)>) {
        self.line(format!("| {title} | |\n|---|---|"));
        for (name, meaning) in constants {
            self.line(format!("| `{name}` | {meaning} |"));
        }
    }

    fn names(&mut self) {
        self.line("\n## Labels and annotations\n\n| Name | |\n|---|---|");
        for (name, meaning) in [
            (names::LABEL_POOL, "label of a worker Pod and its Secret: the WorkerPool"),
            (names::LABEL_CAPACITY, "label of a worker Pod: `spot` or `onDemand`"),
            (names::LABEL_FLEET, "label of a worker Pod: the name of its fleet when it was made"),
            (
                names::ANNOTATION_TEMPLATE,
                "annotation of a worker Pod: the hash of the template it was made from",
            ),
            (
                names::ANNOTATION_MODEL,
                "annotation of a worker Pod: the model that it loads before it takes work",
            ),
            (names::LABEL_TENANCY, "label of a namespace: with the value `field` its jobs may name tenants"),
            (
                names::LABEL_TENANT,
                "label of a Secret with an API key, and of a job that came by the HTTP API: the tenant",
            ),
            (names::LABEL_API_KEY, "label of a job that came by the HTTP API: the API key's name"),
            (names::LABEL_FRONT, "label of a job that came by the HTTP API: the front"),
            (
                names::ANNOTATION_REQUEST,
                "annotation of a job that came by the HTTP API: what the request said beside the spec",
            ),
            (
                names::ANNOTATION_TRACEPARENT,
                "annotation of a job: the trace that its work belongs to, a `traceparent` of W3C Trace Context",
            ),
            (
                names::ANNOTATION_NOTIFIED,
                "annotation of a job that came by the HTTP API: its webhooks are settled",
            ),
            (
                names::LABEL_WORKERS,
                "label of a namespace: with the value `allowed` the Redis of `manifests/overlays/with-redis` lets its workers in",
            ),
        ] {
            self.line(format!("| `{name}` | {meaning} |"));
        }
    }
}

/// The rule's message, or the texts among which its CEL expression chooses.
fn rule_text(rule: &Value) -> String {
    match rule["message"].as_str() {
        Some(message) => message.to_owned(),
        None => {
            let quoted: Vec<&str> = text(&rule["messageExpression"]).split('\'').skip(1).step_by(2).collect();
            quoted.join("; ")
        }
    }
}

fn limits(field: &Value) -> String {
    let number = |key: &str| field.get(key).map(ToString::to_string);
    let range = |least: &str, most: &str, of: &str| match (number(least), number(most)) {
        (Some(least), Some(most)) if least == most => Some(format!("{least}{of}")),
        (Some(least), Some(most)) => Some(format!("{least} … {most}{of}")),
        (Some(least), None) => Some(format!("≥ {least}{of}")),
        (None, Some(most)) => Some(format!("≤ {most}{of}")),
        (None, None) => None,
    };
    let choices = list(&field["enum"]).iter().map(|c| format!("`{}`", text(c))).collect::<Vec<_>>().join(" ");
    [
        (!choices.is_empty()).then_some(choices),
        range("minimum", "maximum", ""),
        number("multipleOf").map(|step| format!("multiple of {step}")),
        range("minLength", "maxLength", " characters"),
        range("minItems", "maxItems", " items"),
        range("minProperties", "maxProperties", " entries"),
        (field["x-kubernetes-list-type"] == "map").then(|| "unique names".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    heading.chars().filter(|c| c.is_alphanumeric() || *c == '-').flat_map(char::to_lowercase).collect()
}
