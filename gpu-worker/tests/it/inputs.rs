//! What inputs are tried with: a bucket, an engine, a hostile server, and pictures.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use comfyui_sim::{Folders, Options, Sim};
use gpu_worker::{
    comfyui::{Client, Engine, Mark, State},
    inputs::{Inputs, Keep, Lookup, Trust},
};
use queue::{InputKind, InputSource, JobUid, TaskInput};
use store::{Keys, Output, Store};
use tempfile::TempDir;
use testkit::{S3, S3Options};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    hostile::{Answer, Hostile},
    rig::PATIENCE,
};

pub(crate) struct Bench {
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) sim: Sim,
    pub(crate) s3: S3,
    pub(crate) server: Hostile,
    folders: TempDir,
    _connecting: AbortOnDropHandle<()>,
}

/// A resolver that knows the names of the server alone.
pub(crate) fn all_here(server: &Hostile) -> Lookup {
    let address = server.address;
    Arc::new(move |_| Box::pin(async move { Ok(vec![address]) }))
}

impl Bench {
    pub(crate) async fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(script, all_here, Duration::from_secs(10), Keep::default()).await
    }

    pub(crate) async fn start_with(
        script: impl Fn(&str) -> Answer + Send + Sync + 'static,
        lookup: impl FnOnce(&Hostile) -> Lookup,
        within: Duration,
        keep: Keep,
    ) -> Self {
        let server = Hostile::start(script).await;
        let s3 = S3::start(S3Options::default()).await.expect("S3");
        let folders = TempDir::new().expect("a folder");
        let temp = Folders { temp: Some(folders.path().into()), ..Folders::default() };
        let sim = Sim::start(Options { folders: temp, ..Options::default() }).expect("an engine");
        let keys = Keys {
            access_key_id: s3.options().access_key.clone(),
            secret_access_key: s3.options().secret_key.clone(),
            session_token: None,
        };
        let output = Output { endpoint: Some(s3.endpoint()), path_style: true, ..Output::new("images") };
        let store = Store::open_with_keys(&output, keys).await.expect("a store");
        let client = Client::new(sim.url().parse().expect("a URL")).expect("a client");
        let mark = Mark { pool: "studio/sd15".into(), worker: "w".into() };
        let engine = Arc::new(Engine::new(client, mark));
        let connecting = engine.clone();
        let connecting =
            AbortOnDropHandle::new(tokio::spawn(async move { connecting.keep_connected().await }));
        let lookup = lookup(&server);
        let trust = Trust::in_tests([server.address], server.root.as_bytes(), lookup).expect("a root");
        let inputs = Arc::new(Inputs::new(store, engine.clone(), trust, within, keep));
        let bench = Self { inputs, engine, sim, s3, server, folders, _connecting: connecting };
        bench.connected().await;
        bench
    }

    pub(crate) async fn connected(&self) {
        let mut state = self.engine.state();
        let up = state.wait_for(|state| matches!(state, State::Up(_)));
        tokio::time::timeout(PATIENCE, up).await.expect("in time").expect("connected");
    }

    /// The name in the engine, or what the job's owner reads and the reason.
    pub(crate) async fn prepare(&self, input: &TaskInput) -> Result<String, (String, String)> {
        match self.inputs.prepare(&job("a"), std::slice::from_ref(input)).await {
            Ok(prepared) => Ok(prepared.names()[0].1.clone()),
            Err(error) => Err((error.to_string(), error.reason().to_string())),
        }
    }

    /// A file that the engine was lent.
    pub(crate) fn lent(&self, name: &str) -> PathBuf {
        self.folders.path().join("temp").join(name.strip_suffix(" [temp]").unwrap_or(name))
    }

    pub(crate) fn written(&self, name: &str) -> io::Result<SystemTime> {
        self.lent(name).metadata()?.modified()
    }

    pub(crate) fn put(&self, key: &str, content: &[u8]) {
        let file = self.s3.object_file("images", key);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, content).expect("written");
    }
}

pub(crate) fn job(name: &str) -> JobUid {
    JobUid(name.into())
}

pub(crate) fn input(source: InputSource) -> TaskInput {
    TaskInput {
        name: "photo".into(),
        source,
        sha256: None,
        kind: InputKind::Picture,
        to: vec!["10.image".into()],
        max_bytes: TaskInput::MAX_BYTES,
        max_pixels: None,
    }
}

/// The pool allows two of the server's names.
pub(crate) fn url(url: &str) -> TaskInput {
    let hosts = vec!["files.example".into(), "mirror.example".into(), "inside.example".into()];
    input(InputSource::Url { url: url.into(), hosts })
}

pub(crate) fn object(key: &str) -> TaskInput {
    input(InputSource::Object { key: key.into() })
}

/// A small picture in one colour.
pub(crate) fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 16, 8);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&colour.repeat(16 * 8)).expect("pixels");
    writer.finish().expect("an end");
    file
}

/// A PNG that says it has so many pixels, and has none.
pub(crate) fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut head = [width.to_be_bytes(), height.to_be_bytes()].concat();
    head.extend([8, 6, 0, 0, 0]);
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &head), chunk(b"IDAT", b""), chunk(b"IEND", b"")].concat()
}

pub(crate) fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a length").to_be_bytes();
    let body = [kind, content].concat();
    [&length[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// The kinds of chunks of a PNG.
pub(crate) fn chunks(mut png: &[u8]) -> Vec<String> {
    png = &png[8..];
    let mut kinds = Vec::new();
    while !png.is_empty() {
        let length = u32::from_be_bytes(png[..4].try_into().expect("4")) as usize;
        kinds.push(String::from_utf8_lossy(&png[4..8]).into_owned());
        png = &png[12 + length..];
    }
    kinds
}
