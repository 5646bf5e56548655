//! The OpenAPI 3.1 document of the own front, served at `/openapi.json`. What jobs ask for and what their status says is
//! taken from the ImageJob API's own schema, so both say the same.

use std::sync::LazyLock;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{app::App, webhooks};

/// Words of structural schemas that JSON Schema does not know.
const KUBERNETES: &str = "x-kubernetes-";

/// The document.
pub(crate) async fn serve(State(app): State<App>) -> Response {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    let mut document = DOCUMENT.clone();
    document["servers"] = json!([{ "url": &*app.public_url }]);
    ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ImageJob API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Asks for images, says how they go, and hands them over.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "key": [] }],
        "paths": paths(),
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer", "description": "An API key." } },
            "schemas": schemas(),
        },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An answer with a JSON body.
fn answer(description: &str, schema: &str) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": reference(schema) } } })
}

fn empty(description: &str) -> Value {
    json!({ "description": description })
}

/// An operation with its own answers, and those that every operation may give.
fn operation(id: &str, summary: &str, more: &Value, answers: Value) -> Value {
    let mut responses = Map::new();
    let problem = |description: &str| json!({ "description": description, "content": { "application/problem+json": { "schema": reference("Problem") } } });
    for (status, description) in [
        ("401", "No API key, or one that is not known."),
        ("403", "The API key does not allow this."),
        ("404", "It does not exist, or belongs to another tenant."),
        ("409", "A request with this Idempotency-Key is being worked on."),
        ("413", "The body is too large."),
        ("422", "Something in the request is wrong."),
        ("429", "Over a limit of the tenant."),
        ("503", "Something that the API needs is away for now."),
    ] {
        responses.insert(status.to_owned(), problem(description));
    }
    if let Value::Object(answers) = answers {
        responses.extend(answers);
    }
    let mut operation = json!({ "operationId": id, "summary": summary, "responses": responses });
    if let (Some(operation), Some(more)) = (operation.as_object_mut(), more.as_object()) {
        operation.extend(more.clone());
    }
    operation
}

fn parameter(place: &str, name: &str, schema: &Value, description: &str) -> Value {
    json!({ "in": place, "name": name, "required": place == "path", "schema": schema, "description": description })
}

fn body(schema: &Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

fn paths() -> Value {
    let text = json!({ "type": "string" });
    let name = json!({ "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" });
    let number = json!({ "type": "integer", "minimum": 0, "maximum": 9999 });
    let id = parameter("path", "id", &name, "The job's id.");
    let file =
        parameter("path", "id", &json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }), "The file's id.");
    let wait = parameter(
        "header",
        "Prefer",
        &json!({ "type": "string", "examples": ["wait=30"] }),
        "wait=n: answer once the job has ended, or after n seconds, 60 at most.",
    );
    let of_job = |id: &Value| json!({ "parameters": [id] });
    let job = |description: &str| answer(description, "Job");
    let change = |operation_id: &str, summary: &str| json!({ "post": operation(operation_id, summary, &of_job(&id), json!({ "200": job("The job.") })) });
    let bytes =
        |description: &str| json!({ "description": description, "content": { "*/*": { "schema": {} } } });
    let file_answers = json!({
        "200": bytes("The file."), "206": bytes("The part of it that Range asks for."), "302": empty("A signed URL of the bucket, with redirect=true."),
        "304": empty("The client has it already."), "416": empty("It ends before the range."),
    });
    json!({
        "/v1/jobs": {
            "post": operation("createJob", "Asks for images.", &json!({
                "parameters": [
                    wait,
                    parameter("header", "Idempotency-Key", &json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" }),
                        "The same key and body again: the same job."),
                ],
                "requestBody": body(&reference("JobRequest")),
            }), json!({ "200": job("The job that an earlier request with this key created."), "201": job("The job."), "202": job("The job, which had not ended when the wait was over.") })),
            "get": operation("listJobs", "Lists the tenant's jobs, the newest first.", &json!({ "parameters": [
                parameter("query", "limit", &json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 50 }), "How many."),
                parameter("query", "cursor", &text, "nextCursor of the last page."),
                parameter("query", "state", &reference("State"), "Only jobs in this state."),
                parameter("query", "label", &text, "Only jobs with this label, name:value."),
            ] }), json!({ "200": answer("A page.", "JobList") })),
        },
        "/v1/jobs/{id}": {
            "get": operation("getJob", "Says how a job goes.", &json!({ "parameters": [id, wait] }), json!({ "200": job("The job.") })),
            "delete": operation("deleteJob", "Deletes a job. Its images stay in the bucket.", &of_job(&id), json!({ "204": empty("It is deleted.") })),
        },
        "/v1/jobs/{id}/work": { "get": operation("getWork", "Says what a job was asked for.", &of_job(&id), json!({ "200": answer("The work.", "Work") })) },
        "/v1/jobs/{id}/cancel": change("cancelJob", "Stops a job. What is made stays."),
        "/v1/jobs/{id}/suspend": change("suspendJob", "Starts no further image until the job is resumed."),
        "/v1/jobs/{id}/resume": change("resumeJob", "Goes on with a suspended job."),
        "/v1/jobs/{id}/retry": { "post": operation("retryJob", "Asks for the failed images of a job again, in jobs of their own.", &of_job(&id), json!({ "201": answer("The jobs.", "JobList") })) },
        "/v1/estimate": { "post": operation("estimateJob", "Says what a job would cost and when it would be done, and creates nothing.", &json!({ "requestBody": body(&reference("JobRequest")) }), json!({ "200": answer("The estimate.", "Estimate") })) },
        "/v1/jobs/{id}/events": { "get": operation("watchJob", "Streams a job's states and progress until its end.", &json!({ "parameters": [
            id, parameter("header", "Last-Event-ID", &text, "The id of the last event that the client has."),
        ] }), json!({
            "200": { "description": "Server-sent events; each holds the whole job.", "content": { "text/event-stream": { "schema": text } } },
            "204": empty("The job has ended, and the client knows it."),
        })) },
        "/v1/jobs/{id}/results/{index}/{output}": { "get": operation("getResult", "Hands a file over.", &json!({ "parameters": [
            id, parameter("path", "index", &number, "The image's number in the job."), parameter("path", "output", &number, "The file's number in the image."),
            parameter("query", "redirect", &json!({ "type": "boolean", "default": false }), "True: answer with a signed URL of the bucket."),
        ] }), file_answers.clone()) },
        "/v1/jobs/{id}/webhooks": { "get": operation("getWebhooks", "Says who was told of a job, and how that went.", &of_job(&id), json!({ "200": answer("Messages and attempts.", "Webhooks") })) },
        "/v1/jobs/{id}/webhooks/{message}/redeliver": { "post": operation("redeliverWebhook", "Sends a message again.", &json!({ "parameters": [
            id, parameter("path", "message", &text, "The message's id."),
        ] }), json!({ "202": empty("It is sent.") })) },
        "/v1/webhook-secret": { "post": operation("rotateWebhookSecret", "Makes a new secret that webhooks are signed with, and shows it once.", &json!({}), json!({ "201": answer("The secret.", "WebhookSecret") })) },
        "/v1/files": { "post": operation("uploadFile", "Takes a file for jobs to start from.", &json!({
            "parameters": [parameter("query", "name", &text, "Its name, where the body is the file itself.")],
            "requestBody": { "required": true, "content": {
                "application/octet-stream": {},
                "multipart/form-data": { "schema": { "type": "object", "required": ["file"], "properties": { "file": { "type": "string", "contentMediaType": "application/octet-stream" } } } },
            } },
        }), json!({ "200": answer("It was there already.", "File"), "201": answer("The file.", "File") })) },
        "/v1/files/{id}": {
            "get": operation("getFile", "Says what is known of a file.", &json!({ "parameters": [file] }), json!({ "200": answer("The file.", "File") })),
            "delete": operation("deleteFile", "Deletes a file.", &json!({ "parameters": [file] }), json!({ "204": empty("It is deleted.") })),
        },
        "/v1/files/{id}/content": { "get": operation("getFileContent", "Hands a file over.", &json!({ "parameters": [file] }), file_answers) },
        "/v1/pools": { "get": operation("listPools", "Lists the pools that the tenant may use, with their models and queues.", &json!({}), json!({ "200": answer("The pools.", "PoolList") })) },
        "/v1/recipes": { "get": operation("listRecipes", "Lists the recipes that the tenant may use.", &json!({}), json!({ "200": answer("The recipes.", "RecipeList") })) },
        "/v1/recipes/{name}": { "get": operation("getRecipe", "Says what a recipe takes.", &json!({ "parameters": [parameter("path", "name", &name, "Its name.")] }), json!({ "200": answer("The recipe.", "Recipe") })) },
        "/v1/usage": { "get": operation("getUsage", "Says what the tenant used, day by day (UTC).", &json!({ "parameters": [
            parameter("query", "from", &json!({ "type": "string", "format": "date" }), "The first day; else a week ago."),
            parameter("query", "to", &json!({ "type": "string", "format": "date" }), "The last day; else today."),
        ] }), json!({ "200": answer("Jobs, images and cost.", "Usage") })) },
        "/v1/keys": {
            "get": operation("listKeys", "Lists all API keys. For administrators.", &json!({}), json!({ "200": answer("The keys, without what they are.", "KeyList") })),
            "post": operation("createKey", "Creates an API key and shows it once. For administrators.", &json!({ "requestBody": body(&reference("KeyRequest")) }), json!({ "201": answer("The key.", "Key") })),
        },
        "/v1/keys/{name}": { "delete": operation("revokeKey", "Revokes an API key. For administrators.", &json!({ "parameters": [parameter("path", "name", &name, "Its name.")] }), json!({ "204": empty("It is revoked.") })) },
    })
}

fn schemas() -> Value {
    let job = of_kind("ImageJob");
    let (spec, status) =
        (&job["properties"]["spec"]["properties"], &job["properties"]["status"]["properties"]);
    let text = json!({ "type": "string" });
    let optional = |schema: &Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let time = json!({ "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "null" }] });
    let labels = json!({ "type": "object", "maxProperties": 16, "additionalProperties": { "type": "string", "maxLength": 256 } });
    let list = |of: &str| json!({ "type": "array", "items": reference(of) });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let mut request: Map<String, Value> = spec.as_object().cloned().unwrap_or_default();
    request.remove("tenant");
    if let Some(work) = request.get_mut("work") {
        work["description"] = json!("What to make. type may be left out: the field says it.");
        work["required"] = json!([]);
    }
    request.insert("labels".to_owned(), labels.clone());
    request.insert("webhook".to_owned(), reference("Webhook"));
    json!({
        "JobRequest": { "type": "object", "required": ["work"], "properties": request, "additionalProperties": false },
        "State": { "type": "string", "enum": ["queued", "running", "suspended", "cancelling", "completed", "failed", "cancelled"] },
        "Job": object(&["id", "state", "reason", "message", "count", "counts", "results", "failures", "links"], json!({
            "id": text, "state": reference("State"), "reason": text, "message": text, "late": { "type": "boolean" },
            "type": optional(&text), "labels": labels, "front": optional(&text), "apiKey": optional(&text),
            "pool": optional(&object(&["namespace", "name"], json!({ "namespace": text, "name": text }))),
            "class": optional(&text), "count": { "type": "integer" }, "counts": status["counts"],
            "createdTime": time, "acceptedTime": time, "startTime": time, "completionTime": time, "dueTime": time, "estimatedCompletionTime": time,
            "seed": { "type": ["integer", "string"] }, "results": status["results"], "manifestURL": text, "failures": status["failures"],
            "interruptions": { "type": "integer" }, "retries": { "type": "integer" }, "cost": optional(&status["cost"]),
            "links": object(&["self", "events", "cancel", "results"], json!({ "self": text, "events": text, "cancel": text, "results": text })),
        })),
        "JobList": object(&["jobs"], json!({ "jobs": list("Job"), "nextCursor": text })),
        "Estimate": object(&["pool", "images", "currency"], json!({
            "pool": object(&["namespace", "name"], json!({ "namespace": text, "name": text })), "class": optional(&text), "images": { "type": "integer" },
            "gpuSeconds": { "type": ["number", "null"] }, "amount": optional(&text), "currency": text, "waitSeconds": { "type": ["integer", "null"] }, "completionTime": time,
        })),
        "Work": object(&["work"], json!({ "work": spec["work"], "inputs": { "type": "array" }, "output": { "type": "object" } })),
        "Webhook": { "type": "object", "required": ["url"], "additionalProperties": false, "properties": {
            "url": { "type": "string", "maxLength": 1024, "examples": ["https://shop.example.com/hooks/images"] },
            "events": { "type": "array", "items": { "type": "string", "enum": webhooks::NAMES } },
        } },
        "Webhooks": object(&["messages", "attempts"], json!({
            "messages": { "type": "array", "items": object(&["id", "state"], json!({ "id": text, "state": { "enum": ["open", "delivered", "given-up", "gone"] } })) },
            "attempts": { "type": "array", "items": object(&["message", "time", "attempt"], json!({
                "message": text, "event": text, "url": text, "time": text, "attempt": { "type": "integer" }, "status": { "type": ["integer", "null"] }, "said": text, "nextTime": optional(&text),
            })) },
        })),
        "WebhookSecret": object(&["secret"], json!({ "secret": text })),
        "File": object(&["id", "name", "mediaType", "bytes", "sha256"], json!({ "id": text, "name": text, "mediaType": text, "bytes": { "type": "integer" }, "sha256": text, "createdTime": time })),
        "PoolList": object(&["pools"], json!({ "pools": { "type": "array", "items": object(&["namespace", "name", "classes", "models", "queue"], json!({
            "namespace": text, "name": text, "ready": { "type": "boolean" }, "reason": optional(&text), "message": optional(&text),
            "classes": { "type": "array" }, "models": { "type": "array" }, "engine": optional(&text), "queue": { "type": "object" }, "workers": { "type": "object" },
            "secondsPerImage": { "type": ["number", "null"] }, "waitSeconds": { "type": ["integer", "null"] }, "currency": text,
        })) } })),
        "Recipe": object(&["name", "inputs"], json!({ "name": text, "description": text, "inputs": { "type": "object", "description": "A JSON Schema." } })),
        "RecipeList": object(&["recipes"], json!({ "recipes": list("Recipe") })),
        "Usage": object(&["tenant", "days"], json!({ "tenant": text, "days": { "type": "array", "items": object(&["date", "all", "keys"], json!({
            "date": { "type": "string", "format": "date" }, "all": reference("Used"), "keys": { "type": "object", "additionalProperties": reference("Used") },
        })) } })),
        "Used": object(&["jobs", "images", "amount"], json!({ "jobs": { "type": "integer" }, "images": { "type": "integer" }, "amount": text })),
        "KeyRequest": { "type": "object", "required": ["tenant"], "additionalProperties": false, "properties": { "tenant": text, "name": text, "readOnly": { "type": "boolean" } } },
        "Key": object(&["name", "tenant", "rights", "key"], json!({ "name": text, "tenant": text, "rights": text, "key": text })),
        "KeyList": object(&["keys"], json!({ "keys": { "type": "array", "items": object(&["name", "rights"], json!({ "name": text, "tenant": optional(&text), "rights": text })) } })),
        "Problem": object(&["type", "title", "status", "detail", "code"], json!({
            "type": { "type": "string", "format": "uri" }, "title": text, "status": { "type": "integer" }, "detail": text, "code": text,
            "errors": { "type": "array", "items": object(&["pointer", "detail"], json!({ "pointer": text, "detail": text })) },
            "violated-policies": { "type": "array", "items": text },
        })),
    })
}

/// A kind's schema without the words that only Kubernetes knows.
fn of_kind(kind: &str) -> Value {
    let definitions = crds::crd::custom_resource_definitions().unwrap_or_default();
    let definition = definitions.iter().find(|definition| definition.spec.names.kind == kind);
    let version = definition.and_then(|definition| definition.spec.versions.first());
    let mut schema =
        version.and_then(|version| serde_json::to_value(&version.schema).ok()).unwrap_or_default();
    let mut schema = schema["openAPIV3Schema"].take();
    tidy(&mut schema);
    schema
}

fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.remove("x-kubernetes-int-or-string").is_some() {
                fields.insert("type".to_owned(), json!(["integer", "string"]));
            }
            if fields.remove("nullable").is_some_and(|nullable| nullable == true) {
                fields.remove("type");
            }
            fields.retain(|name, _| !name.starts_with(KUBERNETES));
            fields.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}
