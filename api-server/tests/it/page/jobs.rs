//! Jobs by the page: forms, gallery, files, failed images.

use std::time::Duration;

use reqwest::{
    StatusCode,
    multipart::{Form, Part},
};
use serde_json::json;
use testkit::wait_for;

use super::{Page, Studio, Visitor, page};
use crate::{maker::PNG, rig::PATIENCE};

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";
const QUICK: Duration = Duration::from_millis(100);

fn form(token: &str, prompt: &str) -> Form {
    let texts = [
        ("token", token),
        ("recipe", "portrait"),
        ("input.prompt", prompt),
        ("input.steps", "12"),
        ("input.style", "ink"),
        ("count", "1"),
        ("class", ""),
    ];
    texts.into_iter().fold(Form::new(), |form, (name, value)| form.text(name.to_owned(), value.to_owned()))
}

async fn send(visitor: &Visitor<'_>, form: Form) -> Page {
    page(visitor.posting("/ui/jobs").multipart(form)).await
}

/// The job that the answer to a form leads to.
fn made(answer: &Page) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
    let rest = answer.header("location").strip_prefix("/?made=").expect("a job").to_owned();
    rest.split('&').next().expect("a name").to_owned()
}

#[tokio::test]
async fn a_recipes_form_makes_a_job_and_sent_twice_the_same_one() {
    let studio = Studio::open(QUICK).await;
    let visitor = Visitor::new(&studio.replica, &studio.key).await;
    let shown = visitor.get("/?recipe=portrait").await;
    for field in [
        "name=\"input.prompt\"",
        "maxlength=\"500\"",
        "max=\"50\"",
        "<option value=\"oil\" selected>",
        "type=\"file\"",
        "What it shows.",
    ] {
        assert!(shown.html.contains(field), "{field} in {}", shown.html);
    }
    let token = shown.hidden("token").to_owned();
    let with_photo = |token: &str| {
        let photo = Part::bytes(PNG).file_name("me.png").mime_str("image/png").expect("a type");
        form(token, "a lighthouse").text("input.seed", "18446744073709551615").part("input.photo", photo)
    };
    let job = made(&send(&visitor, with_photo(&token)).await);
    assert_eq!(made(&send(&visitor, with_photo(&token)).await), job);
    assert_eq!(studio.rig.how_many_jobs().await, 1);
    let object = studio.rig.jobs().get(&job).await.unwrap();
    let recipe = object.spec.work.recipe.clone().expect("a recipe");
    assert_eq!(recipe.name, "portrait");
    assert_eq!(
        serde_json::to_value(&recipe.inputs).unwrap(),
        json!({"prompt": "a lighthouse", "steps": 12, "style": "ink", "photo": "photo", "seed": "18446744073709551615"})
    );
    assert_eq!(object.spec.inputs[0].name, "photo");
    assert_eq!(object.metadata.labels.as_ref().unwrap()["imagejob.dev/front"], "page");
    // The same form with other values is told, and keeps them.
    let reused = send(&visitor, form(&token, "a harbour")).await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(reused.html.contains("a harbour") && reused.hidden("token") != token, "{}", reused.html);
    let wrong = send(&visitor, form(reused.hidden("token"), "").text("input.seed", "x")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong.html.contains("a value is needed") && wrong.html.contains("aria-invalid=\"true\""),
        "{}",
        wrong.html
    );
    assert_eq!(studio.rig.how_many_jobs().await, 1);
    let picture = format!("/ui/jobs/{job}/files/0/0");
    wait_for("its picture", PATIENCE, async || {
        visitor.get("/ui/live/jobs").await.html.contains(&picture).then_some(())
    })
    .await
    .unwrap();
    let file = visitor.get(&picture).await;
    assert_eq!((file.status, file.header("content-type")), (StatusCode::OK, "image/png"));
    // To another tenant it does not exist.
    let other = studio.rig.tenant_with_key("other", json!({})).await;
    let stranger = Visitor::new(&studio.replica, &other).await;
    for path in [format!("/ui/jobs/{job}"), format!("/ui/live/jobs/{job}"), picture] {
        assert_eq!(stranger.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for change in ["cancel", "retry"] {
        let status = stranger.post(&format!("/ui/jobs/{job}/{change}")).await.status;
        assert_eq!(status, StatusCode::NOT_FOUND, "{change}");
    }
    assert!(!stranger.get("/").await.html.contains(&job));
}

#[tokio::test]
async fn a_hostile_prompt_is_shown_as_text() {
    let studio = Studio::open(QUICK).await;
    let visitor = Visitor::new(&studio.replica, &studio.key).await;
    let token = visitor.get("/?recipe=portrait").await.hidden("token").to_owned();
    let job = made(&send(&visitor, form(&token, HOSTILE)).await);
    let seen = wait_for("the job", PATIENCE, async || {
        let home = visitor.get("/").await;
        home.html.contains(&job).then_some(home)
    });
    let refused = send(&visitor, form("no token", HOSTILE)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let recipe = visitor.get(&format!("/?recipe={HOSTILE}")).await;
    for shown in [seen.await.unwrap(), visitor.get(&format!("/ui/jobs/{job}")).await, refused, recipe] {
        assert!(shown.html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{}", shown.html);
        assert!(!shown.html.contains("<script>") && !shown.html.contains("<img src=x"), "{}", shown.html);
    }
}

#[tokio::test]
async fn a_key_that_may_only_read_sees_jobs_and_no_forms() {
    let studio = Studio::open(QUICK).await;
    let visitor = Visitor::new(&studio.replica, &studio.key).await;
    let token = visitor.get("/?recipe=portrait").await.hidden("token").to_owned();
    let job = made(&send(&visitor, form(&token, "it has to fail")).await);
    let key = studio.rig.key(&["--tenant", "acme", "--read-only"]).await;
    let reader = wait_for("the key", PATIENCE, async || {
        let known = super::enter(&studio.replica, &key).await.status == StatusCode::SEE_OTHER;
        if known { Some(Visitor::new(&studio.replica, &key).await) } else { None }
    });
    let reader = reader.await.unwrap();
    wait_for("its failure", PATIENCE, async || {
        reader.get("/ui/live/failed").await.html.contains(&job).then_some(())
    })
    .await
    .unwrap();
    for path in ["/", "/ui/failed", "/ui/status", &format!("/ui/jobs/{job}")] {
        let shown = reader.get(path).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        let forms = shown.html.matches("<form").count();
        assert!(forms == 1 && shown.html.contains("action=\"/ui/sign-out\""), "{path}: {}", shown.html);
    }
    assert_eq!(send(&reader, form(&token, "a cat")).await.status, StatusCode::FORBIDDEN);
    for change in ["cancel", "retry"] {
        assert_eq!(reader.post(&format!("/ui/jobs/{job}/{change}")).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(studio.rig.how_many_jobs().await, 1);
}

#[tokio::test]
async fn failed_images_are_listed_and_asked_for_again_once() {
    let studio = Studio::open(QUICK).await;
    let visitor = Visitor::new(&studio.replica, &studio.key).await;
    let token = visitor.get("/?recipe=portrait").await.hidden("token").to_owned();
    let job = made(&send(&visitor, form(&token, "it has to fail")).await);
    let listed = wait_for("its failure", PATIENCE, async || {
        let list = visitor.get("/ui/failed").await;
        list.html.contains(&format!("/ui/jobs/{job}/retry")).then_some(list)
    });
    let listed = listed.await.unwrap();
    assert!(
        listed.html.contains("NodeFailed") && listed.html.contains("after 3 attempts"),
        "{}",
        listed.html
    );
    let first = visitor.post(&format!("/ui/jobs/{job}/retry")).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{first:?}");
    let again = first.header("location").strip_prefix("/ui/failed?again=").expect("a job").to_owned();
    assert_eq!(
        visitor.post(&format!("/ui/jobs/{job}/retry")).await.header("location"),
        first.header("location")
    );
    assert_eq!(studio.rig.how_many_jobs().await, 2);
    let object = studio.rig.jobs().get(&again).await.unwrap();
    assert_eq!(object.spec.work.recipe.expect("a recipe").name, "portrait");
}

#[tokio::test]
async fn the_status_page_shows_queue_workers_and_spend() {
    let studio = Studio::open(QUICK).await;
    let visitor = Visitor::new(&studio.replica, &studio.key).await;
    let token = visitor.get("/?recipe=portrait").await.hidden("token").to_owned();
    made(&send(&visitor, form(&token, "a cat")).await);
    let shown = wait_for("what it cost", PATIENCE, async || {
        let shown = visitor.get("/ui/live/status").await;
        (shown.html.contains("1 in all") && shown.html.contains("<td>0.0003</td>")).then_some(shown)
    });
    let shown = shown.await.unwrap();
    for part in ["sd15", "Images waiting</dt><dd>3", "Workers</dt><dd>3", "0.0003 USD in all", "<svg"] {
        assert!(shown.html.contains(part), "{part} in {}", shown.html);
    }
}
