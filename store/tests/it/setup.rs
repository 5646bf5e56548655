//! Keys and names with white space, as Secrets often contain them.

use store::{Error, Keys, Output, Store};

use crate::{facts, output, picture, server};

#[tokio::test]
async fn white_space_around_keys_and_names_does_no_harm() {
    let s3 = server().await;
    let keys = Keys {
        access_key_id: format!("{}\n", s3.options().access_key),
        secret_access_key: format!(" {}\r\n", s3.options().secret_key),
        session_token: Some("\n".into()),
    };
    let output = output(&s3);
    let output = Output {
        bucket: format!("{}\n", output.bucket),
        endpoint: output.endpoint.map(|endpoint| format!("{endpoint}\r\n")),
        region: Some("us-east-1\n".into()),
        ..output
    };
    let store = Store::open_with_keys(&output, keys).await.expect("a store");
    store.put_file("k.png", picture(), &facts()).await.expect("stored");
}

#[tokio::test]
async fn a_key_that_no_request_can_carry_is_refused_by_name() {
    let s3 = server().await;
    for id in ["AKID\nEXAMPLE", "AKIDÉXAMPLE", ""] {
        let keys = Keys { access_key_id: id.into(), secret_access_key: "s".into(), session_token: None };
        let error = Store::open_with_keys(&output(&s3), keys).await.expect_err("refused");
        assert!(matches!(error, Error::Config { .. }), "{error}");
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
}
