//! Signing in and out, and who is let in.

use reqwest::StatusCode;
use serde_json::json;
use testkit::wait_for;

use super::{SAME, Visitor, browser, enter, key_form, page, sign_in, url};
use crate::rig::{PATIENCE, Rig};

const FORM: &str = "action=\"/ui/sign-in\"";

#[tokio::test]
async fn the_right_key_signs_in_and_wrong_ones_are_told() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let first = page(browser().get(url(&replica, "/"))).await;
    assert_eq!(first.status, StatusCode::OK);
    assert!(first.html.contains(FORM) && !first.html.contains("Sign out"), "{}", first.html);
    for wrong in ["ij_wrong", &format!("{key}x"), ""] {
        let refused = enter(&replica, wrong).await;
        assert_eq!((refused.status, refused.header("set-cookie")), (StatusCode::UNAUTHORIZED, ""), "{wrong}");
        assert!(refused.html.contains("role=\"alert\"") && refused.html.contains(FORM), "{}", refused.html);
    }
    let entered = enter(&replica, &format!(" {key} ")).await;
    let cookie = entered.header("set-cookie");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Secure", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&key[3..]), "the key itself is not in the cookie");
    let visitor = Visitor::new(&replica, &key).await;
    let home = visitor.get("/").await;
    assert!(home.html.contains("Sign out") && home.html.contains("acme"), "{}", home.html);
    let out = visitor.post("/ui/sign-out").await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
}

#[tokio::test]
async fn pages_have_a_strict_policy_and_nothing_inline() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let visitor = Visitor::new(&replica, &key).await;
    for path in ["/", "/ui/status", "/ui/failed"] {
        let shown = visitor.get(path).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        let policy = shown.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(shown.header("cache-control"), "no-store");
        let html = shown.html.to_lowercase();
        assert_eq!(html.matches("<script").count(), 1);
        assert!(html.contains("<script src=\"/ui/assets/page.js\""));
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "http://", "https://"] {
            assert!(!html.contains(inline), "{inline} in {html}");
        }
    }
    for asset in ["page.css", "page.js", "icon.svg"] {
        assert_eq!(visitor.get(&format!("/ui/assets/{asset}")).await.status, StatusCode::OK);
    }
    let other_site = key_form(&replica, &key);
    assert_eq!(page(other_site.try_clone().unwrap()).await.status, StatusCode::FORBIDDEN);
    let other_site = other_site.header("sec-fetch-site", "cross-site");
    assert_eq!(page(other_site).await.status, StatusCode::FORBIDDEN);
    // Below a pool or a key there is no page.
    for prefix in [format!("/pools/{}/sd15", rig.studio), format!("/k/{key}")] {
        assert_eq!(visitor.get(&format!("{prefix}/ui/status")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(visitor.get(&format!("{prefix}/")).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_cookie_that_is_changed_old_or_of_a_revoked_key_signs_nobody_in() {
    let rig = Rig::start().await;
    rig.tenant("acme", json!({})).await;
    rig.tenant("other", json!({})).await;
    let key = rig.key(&["--tenant", "acme", "--name", "web"]).await;
    rig.key(&["--tenant", "other", "--name", "foreign"]).await;
    let (replica, twin) = (rig.replica().await, rig.replica().await);
    let cookie = sign_in(&replica, &key).await;
    let is_in = async |replica, cookie: &str| {
        let status = page(browser().get(url(replica, "/ui/status")).header("cookie", cookie)).await.status;
        assert!(matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED), "{status}");
        status == StatusCode::OK
    };
    assert!(is_in(&replica, &cookie).await && is_in(&twin, &cookie).await, "any replica knows the session");
    let (name, value) = cookie.split_once('=').unwrap();
    let [_, expires, signature] = value.split('~').collect::<Vec<_>>()[..] else { panic!("{cookie}") };
    let later = expires.parse::<i64>().unwrap() + 1;
    for changed in [
        format!("{name}=foreign~{expires}~{signature}"),
        format!("{name}=web~{later}~{signature}"),
        format!("{name}=web~1~{signature}"),
        format!("{name}=web~{expires}~{}", &signature[1..]),
        format!("{name}=web~{expires}~"),
        name.to_owned(),
    ] {
        assert!(!is_in(&replica, &changed).await, "{changed}");
    }
    rig.secrets().delete("web", &kube::api::DeleteParams::default()).await.unwrap();
    wait_for("the session to end", PATIENCE, async || {
        (!is_in(&replica, &cookie).await && !is_in(&twin, &cookie).await).then_some(())
    })
    .await
    .unwrap();
    // Another key of the same name is not signed in by it.
    let renewed = rig.key(&["--tenant", "acme", "--name", "web"]).await;
    wait_for("the new key", PATIENCE, async || {
        (enter(&replica, &renewed).await.status == StatusCode::SEE_OTHER).then_some(())
    })
    .await
    .unwrap();
    assert!(!is_in(&replica, &cookie).await);
}

#[tokio::test]
async fn an_administrator_is_told_that_its_key_has_no_jobs() {
    let rig = Rig::start().await;
    let key = rig.key(&["--admin"]).await;
    let replica = rig.replica().await;
    let visitor = Visitor::new(&replica, &key).await;
    let home = visitor.get("/").await;
    assert!(home.status == StatusCode::OK && home.html.contains("This key has no jobs"), "{}", home.html);
    assert!(!home.html.contains("action=\"/ui/jobs\""));
    assert_eq!(visitor.get("/ui/status").await.status, StatusCode::FORBIDDEN);
    let made =
        browser().post(url(&replica, "/ui/jobs")).header("cookie", &visitor.cookie).header(SAME.0, SAME.1);
    assert_eq!(page(made.multipart(reqwest::multipart::Form::new())).await.status, StatusCode::FORBIDDEN);
}
