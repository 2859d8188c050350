//! `slipway run`: this checkout's workflow, uncommitted changes included, on a private fleet or a coordinator.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};
use slipway_kit::shutdown::{self, Shutdown, Stage};
use slipway_kit::telemetry;
use slipway_workflow::filter;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::checkout::archive;
use crate::client::types::{Instance, Submission};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::fleet::{ActionArgs, Offer, PrivateFleet, Unfit, clear_leftovers, preflight};
use crate::follow::{Board, Ended, Screen, follow};
use crate::occasion::{Occasion, OccasionArgs};
use crate::output::{self, Out, escape};
use crate::settings::{Settings, image, named_value, pair, secret};

/// Where the actions of private fleets are kept from one to the next (XDG Base Directory Specification); without a home,
/// in each fleet's own folder.
fn actions_cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("slipway/actions"))
}

/// How long something may take before the person is told what it is.
const SILENCE_LIMIT: Duration = Duration::from_secs(2);

/// Flags of `slipway run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    occasion: OccasionArgs,
    /// Only this job and what it needs; may be repeated
    #[arg(long = "job", value_name = "J")]
    jobs: Vec<String>,
    /// A workflow_dispatch input
    #[arg(long = "input", value_name = "K=V", value_parser = pair)]
    inputs: Vec<(String, String)>,
    /// A secret; K alone takes the environment variable's value, which the list of processes does not show
    #[arg(long = "secret", value_name = "K[=V]", value_parser = secret)]
    secrets: Vec<(String, String)>,
    /// A configuration variable (`vars`)
    #[arg(long = "var", value_name = "K=V", value_parser = named_value)]
    vars: Vec<(String, String)>,
    /// The image for jobs with this label, on a private fleet
    #[arg(long = "image", value_name = "LABEL=IMAGE", value_parser = image, env = "SLIPWAY_IMAGES", value_delimiter = ',')]
    images: Vec<(String, String)>,
    #[command(flatten)]
    actions: ActionArgs,
    /// Print the contract's objects, one a line, and nothing else
    #[arg(long)]
    json: bool,
    /// Show also the script of each step before what it prints
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
    /// Send traces to this OTLP collector (gRPC), such as http://127.0.0.1:4317; TRACEPARENT names the trace to go on with
    #[arg(long, value_name = "URL", env = "SLIPWAY_OTLP")]
    otlp: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run {
    /// Where traces go, which is needed before anything else.
    pub(crate) fn otlp(&self, settings: &Settings) -> Option<String> {
        self.otlp.clone().or_else(|| settings.otlp.clone())
    }

    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let parent = std::env::var("TRACEPARENT").unwrap_or_default();
        let span = tracing::info_span!("slipway run", run = Empty, result = Empty);
        telemetry::continue_trace(&span, &parent);
        let traceparent = span.in_scope(|| telemetry::traceparent_or(&parent));
        self.traced(settings, out, traceparent).instrument(span).await
    }

    async fn traced(
        self,
        settings: &Settings,
        out: &mut Out,
        traceparent: Option<String>,
    ) -> Result<Exit, Failure> {
        let inputs: BTreeMap<String, String> = self.inputs.iter().cloned().collect();
        let occasion = Occasion::find(&self.occasion, &inputs)?;
        self.check(&occasion)?;
        let contexts =
            (occasion.inputs(&inputs)?, json!(self.vars.iter().cloned().collect::<BTreeMap<_, _>>()));
        let (trigger, mut stop) = shutdown::channel();
        tokio::spawn(async move { trigger.follow_signals().await });
        let mut screen = Screen::new(out, self.json, self.verbose);
        if self.server.server.is_some() || settings.server.is_some() {
            if !self.images.is_empty() {
                output::note(
                    "note: --image does not matter here: a coordinator's agents have their own images",
                );
            }
            let client = Client::new(Target::resolve(&self.server, settings)?)?.in_trace(traceparent);
            return self.on(&client, &occasion, &inputs, &mut screen, &mut stop, None).await;
        }
        let offer = Offer::of(settings, &self.images, &self.actions)?.keep_actions_in(actions_cache());
        match preflight(&occasion, &self.wanted(&occasion), &contexts.0, &contexts.1, &offer).await {
            Ok(()) => {}
            Err(Unfit::Other(failure)) => return Err(failure),
            Err(Unfit::Image { job, cause, message }) => {
                screen.unfit(&job, cause, &message);
                return Err(Failure::fleet(message));
            }
        }
        clear_leftovers(offer.docker_host()).await;
        let fleet = tokio::select! {
            fleet = PrivateFleet::start(&offer) => fleet?,
            () = stop.reached(Stage::Drain) => return Ok(Exit::WorkFailed),
        };
        let outcome = match fleet.client() {
            Ok(client) => {
                let client = client.in_trace(traceparent);
                self.on(&client, &occasion, &inputs, &mut screen, &mut stop, Some(&offer)).await
            }
            Err(failure) => Err(failure),
        };
        fleet.remove().await;
        outcome
    }

    /// What can be told wrong before anything starts.
    fn check(&self, occasion: &Occasion) -> Result<(), Failure> {
        let workflow = &occasion.workflow;
        if !workflow.triggers.iter().any(|trigger| trigger.event == occasion.event_name) {
            let events: Vec<&str> = workflow.triggers.iter().map(|trigger| trigger.event.as_str()).collect();
            return Err(Failure::usage(format!(
                "{}: `on` has no {}, only {}",
                occasion.file.shown,
                escape::name(&occasion.event_name),
                events.join(", ")
            )));
        }
        for wanted in &self.jobs {
            if workflow.job(wanted).is_none() {
                let known: Vec<&str> = workflow.jobs.iter().map(|job| job.id.as_str()).collect();
                let wanted = escape::name(wanted);
                return Err(Failure::usage(format!(
                    "--job: {} has no job `{wanted}`, only {}",
                    occasion.file.shown,
                    known.join(", ")
                )));
            }
        }
        let payload = Json::Object(occasion.event.clone());
        let event = filter::Event { name: &occasion.event_name, payload: &payload, changed_files: None };
        let decision = filter::triggered(workflow, &event);
        if !decision.triggered {
            let reason = &decision.reason;
            output::note(&format!("note: a forge would not start this workflow for this event: {reason}"));
        }
        Ok(())
    }

    /// The ids of the jobs that are to run: the named ones and what they need, else all.
    fn wanted(&self, occasion: &Occasion) -> Vec<String> {
        let workflow = &occasion.workflow;
        if self.jobs.is_empty() {
            return workflow.jobs.iter().map(|job| job.id.clone()).collect();
        }
        let mut wanted: Vec<String> = Vec::new();
        let mut open: Vec<&str> = self.jobs.iter().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            let Some(job) = workflow.job(id) else { continue };
            if !wanted.contains(&job.id) {
                wanted.push(job.id.clone());
                open.extend(job.needs.iter().map(|need| need.id.as_str()));
            }
        }
        wanted
    }

    /// Submits to a coordinator and follows to the end.
    async fn on(
        &self,
        client: &Client,
        occasion: &Occasion,
        inputs: &BTreeMap<String, String>,
        screen: &mut Screen<'_>,
        stop: &mut Shutdown,
        private: Option<&Offer>,
    ) -> Result<Exit, Failure> {
        let submitted = tokio::select! {
            submitted = self.submit(client, occasion, inputs, screen) => submitted?,
            () = stop.reached(Stage::Drain) => return Ok(Exit::WorkFailed),
        };
        tracing::Span::current().record("run", submitted.as_str());
        let unserved = |instance: &Instance| private.and_then(|offer| offer.unserved(instance));
        let mut board = Board::default();
        let ended = follow(client, &submitted, &mut board, screen, stop, &unserved).await;
        match ended {
            Ok(Ended::Run { result, cause }) => {
                tracing::Span::current().record("result", result.as_str());
                screen.finish(&board, Some((&submitted, &result)));
                Ok(board.exit(&result, cause.as_deref()))
            }
            Ok(Ended::Unserved(reason)) => {
                screen.finish(&board, None);
                Err(Failure::fleet(reason))
            }
            Ok(Ended::Interrupted) => {
                screen.finish(&board, None);
                if private.is_none() {
                    output::note(&format!(
                        "run {submitted} may still be running; `slipway show {submitted}` tells"
                    ));
                }
                Ok(Exit::WorkFailed)
            }
            Err(failure) => {
                screen.finish(&board, None);
                Err(failure)
            }
        }
    }

    async fn submit(
        &self,
        client: &Client,
        occasion: &Occasion,
        inputs: &BTreeMap<String, String>,
        screen: &mut Screen<'_>,
    ) -> Result<String, Failure> {
        let (checkout, page) = (occasion.checkout.clone(), occasion.identity.html_url.clone());
        let mut packing = tokio::task::spawn_blocking(move || archive::pack(&checkout, &page));
        let packed = match tokio::time::timeout(SILENCE_LIMIT, &mut packing).await {
            Ok(packed) => packed,
            Err(_) => {
                screen.note("packing the working tree …");
                packing.await
            }
        };
        let packed = packed.map_err(|_| Failure::usage("the working tree cannot be packed"))??;
        for skipped in &packed.skipped {
            screen.note(&format!("note: not taken along: {skipped}"));
        }
        let tree = client.upload(packed.file, packed.size_bytes).await?;
        let submission = Submission {
            workflow_file: occasion.file.in_repository.clone(),
            workflow: occasion.file.text.clone(),
            called: occasion.called()?,
            event_name: occasion.event_name.clone(),
            event: occasion.event.clone(),
            repository: occasion.repository(),
            git_ref: occasion.git_ref.clone(),
            sha: occasion.sha.clone(),
            actor: occasion.actor(),
            inputs: inputs.clone(),
            vars: self.vars.iter().cloned().collect(),
            secrets: self.secrets.iter().cloned().collect(),
            jobs: self.jobs.clone(),
            tree,
        };
        client.submit(&submission).await
    }
}
