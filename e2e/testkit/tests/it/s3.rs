use std::{process::Stdio, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    primitives::ByteStream,
};
use testkit::{Reading, S3, S3Options};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

type Result = anyhow::Result<()>;

fn client(endpoint: &str, access_key: &str, secret_key: &str) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
            aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(10)).build())
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "test"));
    Client::from_conf(config.build())
}

fn client_of(s3: &S3) -> Client {
    client(&s3.endpoint(), &s3.options().access_key, &s3.options().secret_key)
}

async fn put(client: &Client, key: &str) -> anyhow::Result<()> {
    let body = ByteStream::from_static(b"a picture");
    client.put_object().bucket("images").key(key).content_type("image/png").body(body).send().await?;
    Ok(())
}

async fn anonymous_status(s3: &S3, path: &str) -> anyhow::Result<String> {
    let mut connection = tokio::net::TcpStream::connect(s3.address()).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    connection.read_to_string(&mut response).await?;
    Ok(response.split(' ').nth(1).unwrap_or_default().to_owned())
}

#[tokio::test]
async fn objects_are_kept_and_wrong_signatures_refused() -> Result {
    let s3 = S3::start(S3Options::default()).await?;
    put(&client_of(&s3), "folder/a.png").await?;
    assert_eq!(std::fs::read(s3.object_file("images", "folder/a.png"))?, b"a picture");
    let head = client_of(&s3).head_object().bucket("images").key("folder/a.png").send().await?;
    assert_eq!(head.content_type(), Some("image/png"));

    assert!(put(&client(&s3.endpoint(), &s3.options().access_key, "wrong"), "b.png").await.is_err());
    assert!(put(&client(&s3.endpoint(), "wrong", "wrong"), "b.png").await.is_err());
    assert_eq!(anonymous_status(&s3, "/images/folder/a.png").await?, "403");
    let puts: Vec<u16> =
        s3.requests().into_iter().filter(|request| request.method == "PUT").map(|put| put.status).collect();
    assert_eq!(puts, [200, 403, 403]);
    Ok(())
}

#[tokio::test]
async fn public_objects_are_read_by_anyone_and_written_by_none_but_the_key() -> Result {
    let s3 = S3::start(S3Options { reading: Reading::Public, ..S3Options::default() }).await?;
    put(&client_of(&s3), "a.png").await?;
    assert_eq!(anonymous_status(&s3, "/images/a.png").await?, "200");
    assert_eq!(anonymous_status(&s3, "/images?list-type=2").await?, "403");
    Ok(())
}

#[tokio::test]
async fn it_fails_when_told_and_comes_back_with_its_objects() -> Result {
    let mut s3 = S3::start(S3Options::default()).await?;
    let client = client_of(&s3);
    put(&client, "a.png").await?;
    s3.fail_next([503]);
    assert!(put(&client, "b.png").await.is_err());
    put(&client, "b.png").await?;
    s3.stop();
    assert!(put(&client, "c.png").await.is_err());
    s3.restart().await?;
    put(&client, "c.png").await?;
    let listed = client.list_objects_v2().bucket("images").send().await?;
    assert_eq!(listed.key_count(), Some(3));
    Ok(())
}

#[tokio::test]
async fn the_server_binary_says_where_it_listens() -> Result {
    let dir = tempfile::tempdir()?;
    let mut server = tokio::process::Command::new(env!("CARGO_BIN_EXE_s3-server"))
        .args(["--access-key", "key", "--secret-key", "secret", "--bucket", "images", "--root"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut endpoint = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut endpoint).await?;
    put(&client(endpoint.trim(), "key", "secret"), "a.png").await
}
