//! One trace shows a run: from whoever started it, through coordinator and agent, into the tools that its steps call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, Outcome, wait_until};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

const TWO_STEPS: &str = r#"
on: push
jobs:
  traced:
    runs-on: ubuntu-latest
    steps:
      - id: one
        run: echo "in ${TRACEPARENT-no trace}"
      - id: two
        run: echo "in ${TRACEPARENT-no trace}"
"#;

/// A span as it came from a program.
#[derive(Debug, Clone)]
struct Span {
    service: String,
    name: String,
    trace: String,
    id: String,
    parent: String,
    attributes: BTreeMap<String, String>,
}

impl Span {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A collector of traces, as an operator has one: OTLP over gRPC.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let about = attributes(resource.resource.map(|it| it.attributes).unwrap_or_default());
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.spans.lock().unwrap().push(Span {
                    service: about.get("service.name").cloned().unwrap_or_default(),
                    name: span.name,
                    trace: hex::encode(span.trace_id),
                    id: hex::encode(span.span_id),
                    parent: hex::encode(span.parent_span_id),
                    attributes: attributes(span.attributes),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    };
    list.into_iter().filter_map(|it| Some((it.key, text(it.value?.value?)))).collect()
}

impl Collector {
    /// Starts one; its address is the second value. It ends with the runtime.
    fn start(runtime: &tokio::runtime::Runtime) -> (Self, String) {
        let collector = Self::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceServiceServer::new(collector.clone());
        runtime.spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        (collector, url)
    }

    /// The spans of the trace so far.
    fn trace(&self) -> Vec<Span> {
        self.spans.lock().unwrap().iter().filter(|span| span.trace == TRACE).cloned().collect()
    }
}

/// The `traceparent`s that the steps printed.
fn seen_by_steps(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.log("traced");
    lines.iter().filter_map(|line| Some(line.strip_prefix("in ")?.to_owned())).collect()
}

/// Whether `span` is below the span of this id, however deep.
fn is_below(spans: &[Span], span: &Span, ancestor: &str) -> bool {
    let mut parent = span.parent.as_str();
    for _ in 0..=spans.len() {
        if parent == ancestor {
            return true;
        }
        match spans.iter().find(|span| span.id == parent) {
            Some(above) => parent = &above.parent,
            None => return false,
        }
    }
    false
}

#[test]
fn one_trace_shows_a_run_from_its_caller_to_its_steps() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (collector, url) = Collector::start(&runtime);
    let coordinator = Coordinator::start_with(&["--otlp", &url]);
    let mut options = AgentOptions::named("traced-agent");
    options.arguments = vec!["--otlp".to_owned(), url.clone()];
    let _agent = Agent::start(&coordinator, options);

    let checkout = Checkout::with_workflow(TWO_STEPS);
    let mut command = coordinator.run_command(&checkout);
    command.env("SLIPWAY_OTLP", &url).env("TRACEPARENT", format!("00-{TRACE}-{CALLER}-01"));
    let outcome = Outcome::of(&mut command);
    outcome.expect(0, "success");
    let run = coordinator.newest_run();

    let expected: BTreeSet<(&str, &str)> = [
        ("slipway", "slipway run"),
        ("slipway-coordinator", "submit"),
        ("slipway-coordinator", "plan"),
        ("slipway-coordinator", "lease"),
        ("slipway-coordinator", "report"),
        ("slipway-agent", "job"),
        ("slipway-agent", "prepare"),
        ("slipway-agent", "step"),
    ]
    .into();
    let spans = wait_until("all spans of the trace have arrived", || {
        let spans = collector.trace();
        let arrived: BTreeSet<_> =
            spans.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect();
        expected.is_subset(&arrived).then_some(spans)
    });
    for span in &spans {
        assert!(is_below(&spans, span, CALLER), "it is part of the caller's trace: {span:?} in {spans:#?}");
        if ["submit", "plan", "lease", "report", "job"].contains(&span.name.as_str()) {
            assert_eq!(span.attribute("run"), run, "{span:?}");
        }
    }
    let only = |name: &str| {
        let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "one `{name}`: {spans:#?}");
        found[0]
    };
    let job = only("job");
    assert_eq!(job.parent, only("lease").id, "the job runs under its lease: {spans:#?}");
    assert!(is_below(&spans, job, &only("submit").id), "{spans:#?}");
    for (name, wanted) in
        [("attempt", "1"), ("result", "success"), ("job", "traced"), ("agent", "traced-agent")]
    {
        assert_eq!(job.attribute(name), wanted, "{job:?}");
    }
    assert_eq!(only("report").attribute("result"), "success");
    assert_eq!((only("plan").attribute("job"), only("plan").attribute("result")), ("traced", "expanded"));

    let steps: Vec<_> = spans.iter().filter(|span| span.name == "step").collect();
    let ids: BTreeSet<_> = steps.iter().map(|span| span.attribute("step")).collect();
    assert_eq!(ids, ["one", "two"].into(), "{steps:#?}");
    for step in &steps {
        assert!(is_below(&spans, step, &job.id), "{step:?} in {spans:#?}");
        assert_eq!(step.attribute("result"), "success", "{step:?}");
    }
    // What a tool in a step sends is below that very step.
    let seen: BTreeSet<_> = seen_by_steps(&outcome).into_iter().collect();
    let wanted: BTreeSet<_> = steps.iter().map(|step| format!("00-{TRACE}-{}-01", step.id)).collect();
    assert_eq!(seen, wanted, "{outcome:#?}");
}

#[test]
fn a_trace_goes_through_programs_that_send_none() {
    let checkout = Checkout::with_workflow(TWO_STEPS);
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let mut command = checkout.run_command(&[]);
    let outcome = Outcome::of(command.env("TRACEPARENT", &parent).env_remove("SLIPWAY_OTLP"));
    outcome.expect(0, "success");
    assert_eq!(seen_by_steps(&outcome), [parent.as_str(); 2]);
}

#[test]
fn a_malformed_traceparent_is_ignored() {
    let checkout = Checkout::with_workflow(TWO_STEPS);
    let mut command = checkout.run_command(&[]);
    let outcome = Outcome::of(command.env("TRACEPARENT", "00-not-a-trace-01").env_remove("SLIPWAY_OTLP"));
    outcome.expect(0, "success");
    assert_eq!(seen_by_steps(&outcome), ["no trace"; 2]);
}

#[test]
fn a_collector_that_is_gone_fails_no_run() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let checkout = Checkout::with_workflow(TWO_STEPS);
    let outcome = checkout.run_with(&["--otlp", &format!("http://{nobody}")]);
    outcome.expect(0, "success");
    assert_eq!(seen_by_steps(&outcome).len(), 2, "{outcome:#?}");
}
