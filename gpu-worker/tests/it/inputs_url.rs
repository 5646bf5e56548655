//! Inputs from servers that mean no good, and what the job's owner is told of each.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gpu_worker::inputs::{Keep, Lookup};
use queue::{InputSource, TaskInput};

use crate::{
    hostile::{Answer, Hostile, message},
    inputs::{Bench, all_here, chunk, chunks, input, png, png_of, url},
};

const REFUSED: &str = "InputRefused";
const UNAVAILABLE: &str = "InputUnavailable";

/// Fetches `/x` of a server that gives this answer, and returns what the owner reads, and the reason.
async fn told(answer: Answer) -> (String, String) {
    let bench = Bench::start(move |_| answer.clone()).await;
    bench.prepare(&url("https://files.example/x")).await.expect_err("no file")
}

#[tokio::test]
async fn a_picture_of_an_allowed_host_reaches_the_engine_as_a_clean_png() {
    let bench = Bench::start(|_| Answer::ok(&[png([9, 8, 7]), b"<script>".to_vec()].concat())).await;
    let name = bench.prepare(&url("https://FILES.example./a.png?b=c#d")).await.expect("a picture");
    let (hash, extension) = name.split_once('.').expect("a name");
    assert!(hash.len() == 64 && extension == "png [temp]", "{name}");
    let lent = std::fs::read(bench.lent(&name)).expect("lent");
    assert_eq!(chunks(&lent), ["IHDR", "IDAT", "IEND"]);
    let requests = bench.server.requests();
    let request = requests[0].to_ascii_lowercase();
    assert!(request.starts_with("get /a.png?b=c http/1.1\r\n"), "{request}");
    assert!(request.contains("host: files.example\r\n") && request.contains("accept-encoding: identity\r\n"));
    for header in ["cookie", "authorization", "referer", "proxy"] {
        assert!(!request.contains(header), "{request}");
    }
}

#[tokio::test]
async fn redirects_are_followed_to_allowed_hosts_and_not_further() {
    let bench = Bench::start(|path| match path {
        "/3" => Answer::redirect("/2"),
        "/2" => Answer::redirect("https://mirror.example/1"),
        "/1" => Answer::redirect("./0"),
        "/0" => Answer::ok(&png([1, 2, 3])),
        "/4" => Answer::redirect("/3"),
        "/metadata" => Answer::redirect("https://169.254.169.254/latest/meta-data"),
        "/decimal" => Answer::redirect("https://2852039166/"),
        "/other" => Answer::redirect("https://evil.example/x"),
        "/http" => Answer::redirect("http://files.example/0"),
        "/file" => Answer::redirect("file:///etc/passwd"),
        "/port" => Answer::redirect("https://files.example:6379/"),
        "/password" => Answer::redirect("https://a:b@files.example/0"),
        _ => Answer::with("302 Found\r\ncontent-length: 0", b""),
    })
    .await;
    bench.prepare(&url("https://files.example/3")).await.expect("three redirects are followed");
    let allowed = "it allows files.example, mirror.example, inside.example";
    let table = [
        ("4", "it is redirected more than 3 times".to_owned()),
        (
            "metadata",
            format!("it is redirected, and the pool does not allow the host 169.254.169.254; {allowed}"),
        ),
        (
            "decimal",
            format!("it is redirected, and the pool does not allow the host 169.254.169.254; {allowed}"),
        ),
        ("other", format!("it is redirected, and the pool does not allow the host evil.example; {allowed}")),
        ("http", "it is redirected, and its URL begins with http:, and only https: is fetched".into()),
        ("file", "it is redirected, and its URL begins with file:, and only https: is fetched".into()),
        ("port", "it is redirected, and its URL names port 6379, and only 443 is used".into()),
        (
            "password",
            "it is redirected, and its URL carries a user name or a password, which is not sent".into(),
        ),
        ("nowhere", "files.example redirects it to nowhere".into()),
    ];
    for (path, expected) in table {
        let told = bench.prepare(&url(&format!("https://files.example/{path}"))).await.expect_err(path);
        assert_eq!(told, (format!("input photo: {expected}"), REFUSED.into()));
    }
}

#[tokio::test]
async fn a_url_that_is_not_allowed_is_refused_and_nobody_is_asked() {
    let bench = Bench::start(|_| Answer::ok(&png([0; 3]))).await;
    let port = bench.server.address.port();
    for (refused, expected) in [
        (format!("https://127.0.0.1:{port}/"), format!("its URL names port {port}, and only 443 is used")),
        ("https://0x7f000001/".into(), "127.0.0.1 is not a public address".into()),
        (
            "https://u:p@files.example/".into(),
            "its URL carries a user name or a password, which is not sent".into(),
        ),
        ("http://files.example/".into(), "its URL begins with http:, and only https: is fetched".into()),
    ] {
        let hosts = vec!["files.example".into(), "127.0.0.1".into()];
        let told =
            bench.prepare(&input(InputSource::Url { url: refused, hosts })).await.expect_err("refused");
        assert_eq!(told, (format!("input photo: {expected}"), REFUSED.into()));
    }
    let off = input(InputSource::Url { url: "https://files.example/".into(), hosts: vec![] });
    assert_eq!(bench.prepare(&off).await.expect_err("off").0, "input photo: the pool allows no URLs");
    assert_eq!(bench.server.requests().len(), 0);
}

/// Names resolve to what a test says, the nth time.
async fn resolved(
    nth: impl Fn(usize, SocketAddr) -> Vec<SocketAddr> + Send + Sync + 'static,
) -> (Bench, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let lookup = move |server: &Hostile| -> Lookup {
        let (server, nth) = (server.address, Arc::new(nth));
        Arc::new(move |_| {
            let addresses = nth(count.fetch_add(1, Ordering::SeqCst), server);
            Box::pin(async move { Ok(addresses) })
        })
    };
    let script = |path: &str| match path {
        "/again" => Answer::redirect("/x"),
        _ => Answer::ok(&png([5; 3])),
    };
    (Bench::start_with(script, lookup, Duration::from_secs(10), Keep::default()).await, asked)
}

#[tokio::test]
async fn a_host_with_one_private_address_among_public_ones_is_refused() {
    for private in
        ["10.0.0.7:0", "169.254.169.254:0", "[fd00:ec2::254]:0", "[::ffff:127.0.0.1]:0", "127.0.0.1:0"]
    {
        let address: SocketAddr = private.parse().expect("an address");
        let (bench, _) =
            resolved(move |_, server| vec![server, "1.1.1.1:0".parse().expect("one"), address]).await;
        let told = bench.prepare(&url("https://inside.example/x")).await.expect_err(private);
        let expected = "input photo: inside.example has an address that is not public";
        assert_eq!(told, (expected.into(), REFUSED.into()), "{private}");
        assert_eq!(bench.server.requests().len(), 0, "{private}");
    }
}

#[tokio::test]
async fn an_answer_that_changes_after_it_was_looked_at_is_looked_at_anew() {
    let (bench, asked) = resolved(|nth, server| match nth {
        0 => vec![server],
        _ => vec!["169.254.169.254:0".parse().expect("an address")],
    })
    .await;
    let told = bench.prepare(&url("https://files.example/again")).await.expect_err("rebound");
    assert_eq!(told.0, "input photo: files.example has an address that is not public");
    assert_eq!(
        (asked.load(Ordering::SeqCst), bench.server.requests().len()),
        (2, 1),
        "one look a connection"
    );

    let (bench, asked) = resolved(|nth, server| match nth {
        0 => vec![server],
        _ => vec!["127.0.0.1:0".parse().expect("an address")],
    })
    .await;
    bench.prepare(&url("https://files.example/x")).await.expect("the address that was looked at");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_host_that_is_not_there_may_be_there_later() {
    let (bench, _) = resolved(|_, _| vec![]).await;
    let told = bench.prepare(&url("https://files.example/x")).await.expect_err("nowhere");
    let expected = "input photo: files.example can't be reached: the name has no address";
    assert_eq!(told, (expected.into(), UNAVAILABLE.into()));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_read_to_its_end_whatever_its_head_says() {
    let large = "input photo: it is larger than 20 MiB";
    let says_so = message("200 OK\r\ncontent-length: 20971521", b"");
    let says_nothing = message("200 OK", b"");
    let says_less = message("200 OK\r\ntransfer-encoding: chunked", b"ffffffff\r\n");
    for head in [says_so, says_nothing, says_less] {
        assert_eq!(told(Answer::Endless(head)).await, (large.into(), REFUSED.into()));
    }
    let bench = Bench::start(|_| Answer::ok(&[0; 101])).await;
    let input = TaskInput { max_bytes: 100, ..url("https://files.example/x") };
    assert_eq!(bench.prepare(&input).await.expect_err("large").0, "input photo: it is larger than 100 bytes");
}

#[tokio::test]
async fn a_length_that_is_a_lie_makes_no_picture() {
    let picture = png([1; 3]);
    let too_long = message(&format!("200 OK\r\ncontent-length: {}", picture.len() + 1), &picture);
    let (words, reason) = told(Answer::Bytes(too_long)).await;
    assert!(words.starts_with("input photo: files.example stopped in the middle of it: "), "{words}");
    assert_eq!(reason, UNAVAILABLE);
    let too_short = message("200 OK\r\ncontent-length: 40", &picture);
    let (words, reason) = told(Answer::Bytes(too_short)).await;
    assert!(words.starts_with("input photo: it ends in the middle, after 40 bytes"), "{words}");
    assert_eq!(reason, REFUSED);
}

#[tokio::test]
async fn a_file_that_drips_is_given_up_in_time() {
    let answer = Answer::Dripping(message("200 OK\r\ncontent-length: 1000", &[0; 1000]));
    let within = Duration::from_millis(500);
    let bench = Bench::start_with(move |_| answer.clone(), all_here, within, Keep::default()).await;
    let told = bench.prepare(&url("https://files.example/x")).await.expect_err("slow");
    assert_eq!(told, ("input photo: it was not there in full after 0.5 s".into(), UNAVAILABLE.into()));
}

#[tokio::test]
async fn a_status_says_whether_to_come_again() {
    let table = [
        ("404 Not Found", "404 Not Found", REFUSED),
        ("403 Forbidden", "403 Forbidden", REFUSED),
        ("410 Gone", "410 Gone", REFUSED),
        ("401 Unauthorized", "401 Unauthorized", REFUSED),
        ("206 Partial Content", "206 Partial Content", REFUSED),
        ("500 Oh", "500 Internal Server Error", UNAVAILABLE),
        ("503 Busy", "503 Service Unavailable", UNAVAILABLE),
        ("429 Slow", "429 Too Many Requests", UNAVAILABLE),
    ];
    for (status, shown, reason) in table {
        let answer = Answer::with(&format!("{status}\r\ncontent-length: 6"), b"secret");
        assert_eq!(
            told(answer).await,
            (format!("input photo: files.example answered {shown}"), reason.into())
        );
    }
    let asked = AtomicUsize::new(0);
    let bench = Bench::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::with("500 Oh\r\ncontent-length: 0", b""),
        _ => Answer::ok(&png([3; 3])),
    })
    .await;
    bench.prepare(&url("https://files.example/x")).await.expect_err("500");
    bench.prepare(&url("https://files.example/x")).await.expect("the next attempt has it");
}

#[tokio::test]
async fn what_is_no_picture_is_refused_with_what_it_is() {
    let gif =
        [b"GIF89a\x01\0\x01\0\0\0\0".to_vec(), b",\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0".repeat(10_000)]
            .concat();
    let table: [(Vec<u8>, &str); 7] = [
        (
            png_of(50_000, 50_000),
            "it has 50000 × 50000 pixels, and at most 4096 a side and 16777216 in all are taken: make it smaller",
        ),
        (
            png_of(4097, 1),
            "it has 4097 × 1 pixels, and at most 4096 a side and 16777216 in all are taken: make it smaller",
        ),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".into(),
            "it is an SVG drawing, and a picture must be a PNG, JPEG or WebP file",
        ),
        (gif, "it is a GIF, and a picture must be a PNG, JPEG or WebP file"),
        (
            b"<!doctype html><title>Sign in".into(),
            "it is an HTML page, and a picture must be a PNG, JPEG or WebP file",
        ),
        (b"PK\x03\x04".into(), "it is a ZIP archive, and a picture must be a PNG, JPEG or WebP file"),
        (vec![], "it is empty"),
    ];
    for (body, expected) in table {
        assert_eq!(told(Answer::ok(&body)).await, (format!("input photo: {expected}"), REFUSED.into()));
    }
    let packed = Answer::with("200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2", b"\x1f\x8b");
    assert_eq!(
        told(packed).await.0,
        "input photo: files.example sent it compressed, which was not asked for"
    );
}

#[tokio::test]
async fn a_server_with_a_certificate_of_another_is_not_talked_to() {
    let bench = Bench::start(|_| Answer::ok(&png([0; 3]))).await;
    let hosts = vec!["*.example".into()];
    let other = input(InputSource::Url { url: "https://other.example/x".into(), hosts });
    let (words, reason) = bench.prepare(&other).await.expect_err("no certificate");
    assert!(
        words.starts_with("input photo: other.example can't be reached: invalid peer certificate"),
        "{words}"
    );
    assert_eq!((reason.as_str(), bench.server.requests().len()), (UNAVAILABLE, 0));
}

#[tokio::test]
async fn a_small_picture_that_unpacks_to_much_more_becomes_a_small_picture() {
    let mut bomb = Vec::new();
    let mut encoder = png::Encoder::new(&mut bomb, 4096, 4096);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&vec![0; 4096 * 4096]).expect("pixels");
    writer.finish().expect("an end");
    // It says that it is of 8 × 8.
    let head = chunk(b"IHDR", &[0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 0]);
    bomb[8..8 + head.len()].copy_from_slice(&head);
    assert!(bomb.len() < 1 << 20, "16 MiB in {} bytes", bomb.len());
    let bench = Bench::start(move |_| Answer::ok(&bomb)).await;
    let name = bench.prepare(&url("https://files.example/x")).await.expect("a picture");
    let lent = std::fs::read(bench.lent(&name)).expect("lent");
    assert!(lent.len() < 1000 && chunks(&lent) == ["IHDR", "IDAT", "IEND"], "{} bytes", lent.len());
}
