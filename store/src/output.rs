use std::time::Duration;

use url::Url;
use uuid::Uuid;

use crate::{Error, Result};

/// The UUID v5 namespace of image names. Changing it would change the key of every image.
const IMAGES: Uuid = Uuid::from_u128(0x6f0d_8a5e_2c1b_5d47_9f3a_71c4_e2b8_0d96);

/// Where a pool's images are stored, and at which address they are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The bucket's name. The bucket must exist.
    pub bucket: String,
    /// `https://host[:port]` of an S3-compatible server; `None`: AWS.
    pub endpoint: Option<String>,
    /// The region; `None`: the region that the SDK finds in the environment, else `us-east-1`.
    pub region: Option<String>,
    /// The prefix of every key, usually with a `/` at its end.
    pub key_prefix: String,
    /// The prefix of an image's URL before its key, e.g. the address of a CDN; `None`: the bucket's own address.
    pub public_url: Option<String>,
    /// Whether URLs are `https://host/bucket/key` instead of `https://bucket.host/key`; most servers other than AWS
    /// need it.
    pub path_style: bool,
    /// The longest time of one request; one that sends a file may take a second longer for each MiB of it.
    pub request_timeout: Duration,
}

impl Output {
    /// The default of `request_timeout`, after which a request is repeated.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

    /// A bucket on AWS, without a prefix.
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            endpoint: None,
            region: None,
            key_prefix: String::new(),
            public_url: None,
            path_style: false,
            request_timeout: Self::REQUEST_TIMEOUT,
        }
    }

    /// The key of a file: output `n` of task `index` of the job. `n` = 0 is the most important one. `extension`: without
    /// a dot.
    #[must_use]
    pub fn file_key(&self, job_uid: &str, index: u32, n: usize, extension: &str) -> String {
        let id = image_id(job_uid, index);
        match n {
            0 => format!("{}{id}.{extension}", self.key_prefix),
            n => format!("{}{id}-{n}.{extension}", self.key_prefix),
        }
    }

    /// The key of the latent of an unfinished image. All latents are in one folder, so that a lifecycle rule of the
    /// bucket can delete them.
    #[must_use]
    pub fn latent_key(&self, job_uid: &str, index: u32) -> String {
        format!("{}latents/{}.latent", self.key_prefix, image_id(job_uid, index))
    }

    /// The key of a job's manifest.
    #[must_use]
    pub fn manifest_key(&self, job_uid: &str) -> String {
        format!("{}{job_uid}/manifest.json", self.key_prefix)
    }

    /// The address of an object for people and applications. It works only if the bucket or CDN permits reading.
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        let base = match (&self.public_url, &self.endpoint) {
            (Some(public), _) => public.clone(),
            (None, Some(endpoint)) if self.path_style => format!("{}/{}", trimmed(endpoint), self.bucket),
            (None, Some(endpoint)) => match endpoint.split_once("://") {
                Some((scheme, host)) => format!("{scheme}://{}.{}", self.bucket, trimmed(host)),
                None => format!("https://{}.{}", self.bucket, trimmed(endpoint)),
            },
            (None, None) => match &self.region {
                Some(region) => format!("https://{}.s3.{region}.amazonaws.com", self.bucket),
                None => format!("https://{}.s3.amazonaws.com", self.bucket),
            },
        };
        joined(&base, key).unwrap_or_else(|| format!("{}/{key}", trimmed(&base)))
    }

    /// The output without the white space that Secrets and templates add. Refuses settings that can't work, before the
    /// first request.
    pub(crate) fn clean(&self) -> Result<Self> {
        let optional = |what, value: &Option<String>| match value.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(value) => word(what, value).map(Some),
        };
        let bucket = word("bucket", &self.bucket)?;
        if bucket.contains('/') {
            return refuse(format!(
                "the bucket {bucket:?} contains a slash: folders belong in the key prefix"
            ));
        }
        let clean = Self {
            bucket,
            endpoint: optional("endpoint", &self.endpoint)?,
            region: optional("region", &self.region)?.map(|value| region(&value)).transpose()?,
            key_prefix: text("key prefix", self.key_prefix.trim())?,
            public_url: optional("public URL", &self.public_url)?,
            path_style: self.path_style,
            request_timeout: self.request_timeout,
        };
        for (name, value) in [("endpoint", &clean.endpoint), ("public URL", &clean.public_url)] {
            let Some(value) = value else { continue };
            let usable = Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !usable {
                return refuse(format!("the {name} {value:?} is not an http:// or https:// URL"));
            }
        }
        Ok(clean)
    }
}

/// Checks a region's name, which is part of every request's signature.
pub(crate) fn region(value: &str) -> Result<String> {
    let value = value.trim();
    let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if value.is_empty() || !value.chars().all(is_name) {
        return refuse(format!("the region {value:?} is not the name of a region, such as eu-west-3"));
    }
    Ok(value.to_owned())
}

/// Trims a setting and refuses white space within it.
fn word(what: &str, value: &str) -> Result<String> {
    let value = value.trim();
    if value.is_empty() {
        return refuse(format!("no {what} is given: set the output's {what}"));
    }
    if value.contains(char::is_whitespace) {
        return refuse(format!("the {what} {value:?} contains white space"));
    }
    text(what, value)
}

fn text(what: &str, value: &str) -> Result<String> {
    if value.contains(char::is_control) {
        return refuse(format!("the {what} {value:?} contains a line break or a control character"));
    }
    Ok(value.to_owned())
}

fn refuse<T>(what: String) -> Result<T> {
    Err(Error::Config { what })
}

fn image_id(job_uid: &str, index: u32) -> Uuid {
    Uuid::new_v5(&IMAGES, format!("{job_uid}/{index}").as_bytes())
}

fn trimmed(base: &str) -> &str {
    base.trim_end_matches('/')
}

/// `base` + `/` + `key`. The key's slashes stay, and all characters that a path can't contain are percent-encoded.
fn joined(base: &str, key: &str) -> Option<String> {
    let mut url = Url::parse(base).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(key.split('/'));
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::Output;

    fn minio() -> Output {
        Output {
            endpoint: Some("http://10.0.0.7:9000/".into()),
            path_style: true,
            key_prefix: "generated/".into(),
            ..Output::new("pictures")
        }
    }

    #[test]
    fn an_image_always_lands_on_the_same_key() {
        let key = minio().file_key("7d3c", 0, 0, "png");
        assert_eq!(key, "generated/fe9f5581-711f-5c4b-8d3e-455c51d48ced.png");
        assert_eq!(key, minio().file_key("7d3c", 0, 0, "png"));
    }

    #[test]
    fn further_outputs_stand_beside_the_image() {
        let image = minio().file_key("7d3c", 5, 0, "png");
        let extra = minio().file_key("7d3c", 5, 2, "webm");
        assert_eq!(extra, image.replace(".png", "-2.webm"));
    }

    #[test]
    fn latents_stand_in_a_folder_of_their_own_under_the_images_name() {
        let latent = minio().latent_key("7d3c", 0);
        assert_eq!(latent, "generated/latents/fe9f5581-711f-5c4b-8d3e-455c51d48ced.latent");
    }

    #[test]
    fn no_two_tasks_share_a_key() {
        let keys: HashSet<_> = ["a", "a/1", "a1", "b"]
            .iter()
            .flat_map(|job| (0..50).map(move |i| minio().file_key(job, i, 0, "png")))
            .collect();
        assert_eq!(keys.len(), 200);
    }

    #[test]
    fn urls_follow_the_output() {
        let url = |change: fn(&mut Output), key| {
            let mut output = minio();
            change(&mut output);
            output.url(key)
        };
        let table = [
            (url(|_| (), "a b/ü?#.png"), "http://10.0.0.7:9000/pictures/a%20b/%C3%BC%3F%23.png"),
            (url(|o| o.path_style = false, "k.png"), "http://pictures.10.0.0.7:9000/k.png"),
            (url(|o| o.endpoint = None, "k.png"), "https://pictures.s3.amazonaws.com/k.png"),
            (
                url(
                    |o| {
                        o.endpoint = None;
                        o.region = Some("eu-west-1".into());
                    },
                    "k.png",
                ),
                "https://pictures.s3.eu-west-1.amazonaws.com/k.png",
            ),
            (
                url(|o| o.public_url = Some("https://cdn.example.com/i/".into()), "g/k.png"),
                "https://cdn.example.com/i/g/k.png",
            ),
            (
                url(|o| o.public_url = Some("https://cdn.example.com".into()), "g/k.png"),
                "https://cdn.example.com/g/k.png",
            ),
        ];
        for (got, want) in table {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn what_can_never_work_is_refused_with_a_word_on_why() {
        for (output, word) in [
            (Output::new(""), "bucket"),
            (Output::new(" \n"), "bucket"),
            (Output::new("images/portraits"), "slash"),
            (Output::new("my images"), "white space"),
            (Output { endpoint: Some("minio:9000".into()), ..minio() }, "endpoint"),
            (Output { endpoint: Some("http://minio\n:9000".into()), ..minio() }, "endpoint"),
            (Output { public_url: Some("cdn.example.com".into()), ..minio() }, "public URL"),
            (Output { region: Some("eu west".into()), ..minio() }, "region"),
            (Output { region: Some("eu-west-3é".into()), ..minio() }, "region"),
            (Output { key_prefix: "a\nb/".into(), ..minio() }, "key prefix"),
        ] {
            let error = output.clean().expect_err("refused").to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn white_space_at_the_ends_does_no_harm() {
        let output = Output {
            bucket: " pictures\r\n".into(),
            endpoint: Some("http://10.0.0.7:9000\n".into()),
            region: Some("eu-west-3\n".into()),
            key_prefix: "generated/\n".into(),
            public_url: Some(" \n".into()),
            ..minio()
        };
        let expected = Output {
            bucket: "pictures".into(),
            endpoint: Some("http://10.0.0.7:9000".into()),
            region: Some("eu-west-3".into()),
            key_prefix: "generated/".into(),
            public_url: None,
            ..minio()
        };
        assert_eq!(output.clean().expect("clean"), expected);
    }

    proptest! {
        #[test]
        fn any_key_has_a_url_that_parses_and_keeps_its_depth(key in "[^/]{1,20}(/[^/]{1,20}){0,3}", n in any::<u8>()) {
            let url = url::Url::parse(&minio().url(&format!("{n}x{key}"))).expect("a URL");
            prop_assert_eq!(url.host_str(), Some("10.0.0.7"));
        }
    }
}
