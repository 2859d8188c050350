//! Logs and traces of Slipway's own programs.
//!
//! Logs go to standard error (standard output belongs to results). Traces go to an OTLP collector when an endpoint is
//! configured, and cost nothing when it is not. A run's `traceparent` (W3C Trace Context) is carried from submit to
//! step, so that one trace shows a run across coordinator and agents.
//!
//! What is traced does not depend on what is logged: a quiet program still sends its spans.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Which spans are sent: all of Slipway's at `info` and above; of libraries only what went wrong, and nothing of those
/// that send the spans.
const TRACED: &str = "warn,slipway=info,slipway_agent=info,slipway_coordinator=info,\
                      h2=off,hyper=off,tonic=off,tower=off,opentelemetry=off,opentelemetry_sdk=off,opentelemetry_otlp=off";

/// Whether this process sends traces.
static EXPORTS: AtomicBool = AtomicBool::new(false);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log and where to send traces.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// `service.name` of the traces.
    pub service: &'static str,
    /// Filter in `tracing`'s syntax; `SLIPWAY_LOG` overrides it.
    pub filter: String,
    /// How log lines look.
    pub format: LogFormat,
    /// OTLP over gRPC, for example `http://127.0.0.1:4317`; none: no traces.
    pub otlp_endpoint: Option<String>,
}

impl TelemetryOptions {
    /// Warnings and what matters of Slipway itself, as text, without traces.
    pub fn new(service: &'static str) -> Self {
        Self {
            service,
            filter: "info,h2=warn,hyper=warn,tonic=warn".to_owned(),
            format: LogFormat::Text,
            otlp_endpoint: None,
        }
    }
}

/// Why telemetry could not start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// `SLIPWAY_LOG` or the configured filter does not parse.
    #[error(
        "the log filter `{filter}` is not valid: {message}; write for example `info,slipway_agent=debug`"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        message: String,
    },
    /// The exporter could not be made.
    #[error("cannot send traces to {endpoint}: {message}")]
    Exporter {
        /// The endpoint.
        endpoint: String,
        /// What is wrong.
        message: String,
    },
    /// Called twice in one process.
    #[error("telemetry was started twice in this process")]
    AlreadyStarted,
}

/// Flushes traces when it is dropped; hold it for the life of the program.
#[derive(Debug)]
#[must_use = "traces are flushed when this is dropped"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            // The program is ending: a collector that is gone must not keep it.
            let _ = provider.shutdown_with_timeout(std::time::Duration::from_secs(2));
        }
    }
}

/// Starts logging, and tracing when an endpoint is given. Once per process, inside a tokio runtime.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(options: &TelemetryOptions) -> Result<Telemetry, TelemetryError> {
    let filter_text = std::env::var("SLIPWAY_LOG").unwrap_or_else(|_| options.filter.clone());
    let filter = EnvFilter::try_new(&filter_text)
        .map_err(|error| TelemetryError::Filter { filter: filter_text, message: error.to_string() })?;
    let ansi = std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    let lines = match options.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let provider =
        options.otlp_endpoint.as_deref().map(|endpoint| exporter(options.service, endpoint)).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(options.service))
            .with_filter(EnvFilter::new(TRACED))
    });
    let exports = traces.is_some();
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces)
        .try_init()
        .map_err(|_| TelemetryError::AlreadyStarted)?;
    EXPORTS.store(exports, Ordering::Relaxed);
    Ok(Telemetry { provider })
}

fn exporter(service: &'static str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(
            |error| TelemetryError::Exporter { endpoint: endpoint.to_owned(), message: error.to_string() },
        )?;
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        .with_batch_exporter(exporter)
        .build())
}

/// Makes `span` a child of the trace that `traceparent` names; an empty or malformed one is ignored, as the specification
/// asks. Costs nothing in a process that sends no traces.
pub fn continue_trace(span: &tracing::Span, traceparent: &str) {
    if !EXPORTS.load(Ordering::Relaxed) || !is_traceparent(traceparent) {
        return;
    }
    let carrier = std::collections::HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    // Fails only for a span that is disabled, and then there is nothing to continue.
    let _ = span.set_parent(context);
}

/// The `traceparent` of the current span; empty when this process sends no traces.
pub fn current_traceparent() -> String {
    if !EXPORTS.load(Ordering::Relaxed) {
        return String::new();
    }
    let mut carrier = std::collections::HashMap::new();
    TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut carrier);
    carrier.remove("traceparent").unwrap_or_default()
}

/// The current span's `traceparent`, or `otherwise` (if that is one) when this process sends no traces. `None`: there is
/// no trace to go on with.
pub fn traceparent_or(otherwise: &str) -> Option<String> {
    let current = current_traceparent();
    if !current.is_empty() {
        return Some(current);
    }
    is_traceparent(otherwise).then(|| otherwise.to_owned())
}

/// Whether this is a `traceparent` of version 00 (W3C Trace Context, section 3.2): `00-`, 32 digits of a trace, 16 of a
/// span, 2 of flags; hexadecimal in lower case, neither id all zeros. What comes from outside is checked with it before
/// it is passed on.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let digits = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |part: &str, length: usize| digits(part, length) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    matches!(parts[..], ["00", trace, span, flags] if id(trace, 32) && id(span, 16) && digits(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::is_traceparent;

    #[test]
    fn only_what_the_specification_allows_is_a_traceparent() {
        assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n",
        ] {
            assert!(!is_traceparent(wrong), "{wrong}");
        }
    }
}
