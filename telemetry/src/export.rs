//! The way of spans to the collector: in batches, by a thread of its own, from a queue that has a bound and drops what
//! comes beyond it.

use std::{
    env,
    future::{Future, ready},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SdkTracer, SdkTracerProvider, SpanData, SpanExporter as Export},
};
use tokio::runtime::{self, Runtime};

/// At the end of the process, for the spans that wait.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);
const SERVICE: &str = "service.name";
/// What the SDK calls a service that has no name.
const UNNAMED: &str = "unknown_service";

/// Exports spans until it is dropped; spans that wait then are exported, within two seconds.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    pub(crate) fn off() -> Self {
        Self(None)
    }

    pub(crate) fn tracer(&self) -> Option<SdkTracer> {
        self.0.as_ref().map(|provider| provider.tracer("imagejob"))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSHED_WITHIN)
        {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// Spans that wait are exported when it is dropped. `Err` says what is wrong with the environment.
pub(crate) fn open(program: &'static str) -> Result<Traces, String> {
    if !is_wanted(|name| env::var(name).ok()) {
        return Ok(Traces::off());
    }
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build();
    let exporter = exporter.map_err(|error| error.to_string())?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let exporter = Exporter { exporter, runtime, is_away: AtomicBool::new(false) };
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(program)).build();
    Ok(Traces(Some(provider)))
}

/// Whether the environment asks for traces, by the variables of
/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let has = |name| variable(name).is_some_and(|value| !value.trim().is_empty());
    let is = |name, wanted| variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted));
    let named = has("OTEL_EXPORTER_OTLP_ENDPOINT") || has("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    named && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

fn resource(program: &'static str) -> Resource {
    let given = Resource::builder().build();
    let name = given.get(&SERVICE.into()).map(|name| name.to_string()).unwrap_or_default();
    if !name.starts_with(UNNAMED) {
        return given;
    }
    Resource::builder().with_attribute(KeyValue::new(SERVICE, program)).build()
}

/// Sends batches, and says once when the collector does not take them, and once when it does again.
#[derive(Debug)]
struct Exporter {
    exporter: SpanExporter,
    /// Runs on the thread of the batches, apart from the program's work.
    runtime: Runtime,
    is_away: AtomicBool,
}

impl Export for Exporter {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let exported = self.runtime.block_on(self.exporter.export(batch));
        match &exported {
            Ok(()) if self.is_away.swap(false, Ordering::Relaxed) => {
                tracing::info!("the collector of traces takes spans again");
            }
            Err(error) if !self.is_away.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "the collector of traces does not take spans; they are dropped until it does");
            }
            Ok(()) | Err(_) => {}
        }
        ready(exported)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        match self.exporter.shutdown_with_timeout(timeout) {
            Err(OTelSdkError::AlreadyShutdown) => Ok(()),
            other => other,
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::is_wanted;

    #[test]
    fn traces_are_off_unless_a_collector_is_named() {
        for (set, wanted) in [
            (&[][..], false),
            (&[("OTEL_SERVICE_NAME", "api")][..], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")][..], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")][..], true),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")][..], true),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_SDK_DISABLED", "True")][..], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_TRACES_EXPORTER", "none")][..], false),
        ] {
            let of =
                |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(is_wanted(of), wanted, "{set:?}");
        }
    }
}
