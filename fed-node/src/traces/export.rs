//! The way to the collector: batches, on a thread of their own.

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor};

/// What names the collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

pub(super) struct Exporter(BatchSpanProcessor);

impl Exporter {
    /// As the environment says; none where it names no collector.
    pub(super) fn from_environment(node: &str) -> Result<Option<Self>, ExporterBuildError> {
        if !ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some()) {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_tonic().build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let resource = Resource::builder()
            .with_service_name("fed-node")
            .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        processor.set_resource(&resource.build());
        Ok(Some(Self(processor)))
    }

    /// Never waits: what the collector does not take in time is dropped.
    pub(super) fn send(&self, span: SpanData) {
        self.0.on_end(span);
    }

    /// Sends what is left.
    pub(super) fn end(&self) {
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}
