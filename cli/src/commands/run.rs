//! `slipway run`: this checkout's workflow, uncommitted changes included, on a private fleet or a coordinator.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};
use slipway_coordinator::options::KeptResults;
use slipway_kit::shutdown::{self, Shutdown, Stage};
use slipway_kit::telemetry;
use slipway_workflow::filter;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::checkout::{Checkout, archive};
use crate::client::types::{Instance, Submission};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::fleet::{ActionArgs, KeptStore, Offer, PrivateFleet, Reach, Unfit, clear_leftovers, preflight};
use crate::follow::{Board, Ended, Screen, follow};
use crate::local_run::{Flags, Kept, LocalRun, recall};
use crate::occasion::{Occasion, OccasionArgs};
use crate::output::{self, Out, escape};
use crate::settings::{Settings, image, named_value, pair, priority, secret};
use crate::user_folders;

/// A private fleet's part in a run.
struct Private<'a> {
    offer: &'a Offer,
    local: &'a mut LocalRun,
}

/// The store with the caches and artifacts of earlier runs; without one, the fleet has its own.
fn take_store(checkout: &Checkout) -> Option<KeptStore> {
    let stores = user_folders::cache()?.join("results");
    match KeptStore::take(&stores, &checkout.root) {
        Ok(store) => Some(store),
        Err(refused) => {
            output::note(&format!(
                "note: this run begins without the kept caches and artifacts, and keeps none: {refused}"
            ));
            None
        }
    }
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
    /// Only what did not succeed in the last run on a private fleet of WORKFLOW, else of this checkout, and what needs
    /// it; the code is today's, flags that are not given are as they were, and secrets have to be given again
    #[arg(long)]
    failed: bool,
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
    #[command(flatten)]
    reach: Reach,
    /// Print the contract's objects, one a line, and nothing else
    #[arg(long)]
    json: bool,
    /// Show also the script of each step before what it prints
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
    /// From -100 to 100, the greater goes first; with --server [default: as the coordinator's configuration has it]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = priority)]
    priority: Option<i8>,
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
        mut self,
        settings: &Settings,
        out: &mut Out,
        traceparent: Option<String>,
    ) -> Result<Exit, Failure> {
        let remote = self.server.server.is_some() || settings.server.is_some();
        let last = match (self.failed, remote) {
            (false, _) => None,
            (true, false) => Some(self.recall()?),
            (true, true) => {
                return Err(Failure::usage(
                    "--failed is for private fleets; `slipway rerun RUN --failed` repeats what failed of a coordinator's run",
                ));
            }
        };
        let inputs: BTreeMap<String, String> = self.inputs.iter().cloned().collect();
        if self.priority.is_some() && !remote {
            return Err(Failure::usage(
                "--priority is for a coordinator's runs: nobody else waits on a private fleet; give --server too",
            ));
        }
        let occasion = Occasion::find(&self.occasion, &inputs)?;
        self.check(&occasion)?;
        let contexts =
            (occasion.inputs(&inputs)?, json!(self.vars.iter().cloned().collect::<BTreeMap<_, _>>()));
        let (trigger, mut stop) = shutdown::channel();
        tokio::spawn(async move { trigger.follow_signals().await });
        let mut screen = Screen::new(out, self.json, self.verbose);
        if remote {
            if let Some(flags) = self.flags_of_agents() {
                output::note(&format!(
                    "note: {flags}: no matter here, a coordinator's agents have their own"
                ));
            }
            let client = Client::new(Target::resolve(&self.server, settings)?)?.in_trace(traceparent);
            return self.on(&client, &occasion, &inputs, &mut screen, &mut stop, None).await;
        }
        let actions = user_folders::cache().map(|cache| cache.join("actions"));
        let offer = Offer::of(settings, &self.images, &self.actions, &self.reach)?.keep_actions_in(actions);
        let wanted = self.wanted(&occasion);
        let secret_names = self.secrets.iter().map(|(name, _)| name.clone()).collect();
        let had_artifacts = last.as_ref().is_none_or(|last| last.artifacts);
        let mut local = LocalRun::of(&occasion, self.flags(&occasion)?, secret_names, last, &wanted)?;
        let wanted: Vec<String> = wanted.into_iter().filter(|job| !local.carries(job)).collect();
        match preflight(&occasion, &wanted, &contexts.0, &contexts.1, &offer).await {
            Ok(()) => {}
            Err(Unfit::Other(failure)) => return Err(failure),
            Err(Unfit::Image { job, cause, message }) => {
                screen.unfit(&job, cause, &message);
                return Err(Failure::fleet(message));
            }
        }
        clear_leftovers(offer.docker_host()).await;
        let store = take_store(&occasion.checkout);
        let artifacts = had_artifacts && store.is_some();
        if !local.carried().is_empty() && !artifacts {
            output::note("note: artifacts of the jobs that are carried over are not there");
        }
        let results = store.as_ref().map(|store| KeptResults {
            folder: store.folder().to_owned(),
            runs: local.repeatable(&occasion.checkout),
        });
        local.begin(&occasion.checkout, artifacts);
        let fleet = tokio::select! {
            fleet = PrivateFleet::start(&offer, results) => fleet?,
            () = stop.reached(Stage::Drain) => return Ok(Exit::WorkFailed),
        };
        let outcome = match fleet.client() {
            Ok(client) => {
                let client = client.in_trace(traceparent);
                let private = Private { offer: &offer, local: &mut local };
                self.on(&client, &occasion, &inputs, &mut screen, &mut stop, Some(private)).await
            }
            Err(failure) => Err(failure),
        };
        fleet.remove().await;
        drop(store);
        outcome
    }

    /// What was given that each agent of a coordinator is told where it is started.
    fn flags_of_agents(&self) -> Option<String> {
        let given = [
            ("--image", !self.images.is_empty()),
            ("--allow-volume", !self.reach.allow_volumes.is_empty()),
            ("--allow-privileged", self.reach.allow_privileged),
            ("--job-engine", self.reach.job_engine.is_some()),
        ];
        let given: Vec<&str> = given.into_iter().filter_map(|(flag, given)| given.then_some(flag)).collect();
        (!given.is_empty()).then(|| given.join(", "))
    }

    /// The run that `--failed` repeats; what is not given is as it was there.
    fn recall(&mut self) -> Result<Kept, Failure> {
        let checkout = Checkout::folder(&self.occasion.dir)?;
        let last = recall(&checkout, self.occasion.workflow.as_deref())?;
        let given: Vec<&str> = self.secrets.iter().map(|(name, _)| name.as_str()).collect();
        let missing: Vec<&str> =
            last.secret_names.iter().map(String::as_str).filter(|name| !given.contains(name)).collect();
        if !missing.is_empty() {
            return Err(Failure::usage(format!(
                "--failed: the last run had the secrets {}, which are not kept; give each again (--secret NAME)",
                missing.join(", ")
            )));
        }
        if self.occasion.workflow.is_none() {
            self.occasion.workflow = Some(checkout.root.join(&last.workflow_file).display().to_string());
        }
        let was = last.flags.clone();
        if self.occasion.event.as_ref().is_none_or(|event| *event == was.event) {
            if self.occasion.event_file.is_none() {
                self.occasion.event_file = was.event_file;
            }
            self.inputs.splice(0..0, was.inputs);
            self.occasion.event = Some(was.event);
        }
        // Of two with one name the later counts, and that is the one that was given now.
        self.vars.splice(0..0, was.vars);
        if self.jobs.is_empty() {
            self.jobs = was.jobs;
        }
        self.images.splice(0..0, was.images);
        self.actions.actions_source = self.actions.actions_source.take().or(was.actions_source);
        self.actions.externals = self.actions.externals.take().or(was.externals);
        self.actions.original_actions |= was.original_actions;
        self.reach = was.reach.then(&self.reach);
        Ok(last)
    }

    /// What whoever repeats this run need not give again.
    fn flags(&self, occasion: &Occasion) -> Result<Flags, Failure> {
        let absolute = |path: &PathBuf| {
            let explain = |error| Failure::usage(format!("{}: {error}", path.display()));
            std::path::absolute(path).map_err(explain)
        };
        Ok(Flags {
            event: occasion.event_name.clone(),
            event_file: self.occasion.event_file.as_ref().map(absolute).transpose()?,
            inputs: self.inputs.iter().cloned().collect(),
            vars: self.vars.iter().cloned().collect(),
            jobs: self.jobs.clone(),
            images: self.images.iter().cloned().collect(),
            actions_source: self.actions.actions_source.clone(),
            externals: self.actions.externals.as_ref().map(absolute).transpose()?,
            original_actions: self.actions.original_actions,
            reach: self.reach.clone(),
        })
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
        mut private: Option<Private<'_>>,
    ) -> Result<Exit, Failure> {
        let local = private.as_ref().map(|private| &*private.local);
        let mut board = Board::carrying(local.map_or_else(BTreeMap::new, LocalRun::remarks));
        let submitted = tokio::select! {
            submitted = self.submit(client, occasion, inputs, local, screen) => submitted?,
            () = stop.reached(Stage::Drain) => return Ok(Exit::WorkFailed),
        };
        tracing::Span::current().record("run", submitted.as_str());
        let offer = private.as_ref().map(|private| private.offer);
        let unserved = |instance: &Instance| offer.and_then(|offer| offer.unserved(instance));
        let ended = follow(client, &submitted, &mut board, screen, stop, &unserved).await;
        match ended {
            Ok(Ended::Run { result, cause }) => {
                tracing::Span::current().record("result", result.as_str());
                let hint = match &mut private {
                    Some(private) => self.keep(private.local, client, occasion, (&submitted, &result)).await,
                    None => None,
                };
                screen.finish(&board, Some((&submitted, &result)), hint.as_deref());
                Ok(board.exit(&result, cause.as_deref()))
            }
            Ok(Ended::Unserved(reason)) => {
                screen.finish(&board, None, None);
                Err(Failure::fleet(reason))
            }
            Ok(Ended::Interrupted) => {
                screen.finish(&board, None, None);
                if private.is_none() {
                    output::note(&format!(
                        "run {submitted} may still be running; `slipway show {submitted}` tells"
                    ));
                }
                Ok(Exit::WorkFailed)
            }
            Err(failure) => {
                screen.finish(&board, None, None);
                Err(failure)
            }
        }
    }

    /// Keeps what succeeded, and says how to go on from there.
    async fn keep(
        &self,
        local: &mut LocalRun,
        client: &Client,
        occasion: &Occasion,
        (run, result): (&str, &str),
    ) -> Option<String> {
        let kept = local.end(&occasion.checkout, client, run, result).await;
        if !kept || result == "success" {
            return None;
        }
        let folder = &self.occasion.dir;
        let dir = match folder.as_os_str() == "." {
            true => String::new(),
            false => format!(" --dir {}", escape::name(&folder.display().to_string())),
        };
        Some(format!("`slipway run --failed{dir}` repeats only what did not succeed, and what needs it"))
    }

    async fn submit(
        &self,
        client: &Client,
        occasion: &Occasion,
        inputs: &BTreeMap<String, String>,
        local: Option<&LocalRun>,
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
        let (run_number, run_attempt) = local.map_or((0, 0), LocalRun::number);
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
            run_number,
            run_attempt,
            carried: local.map_or_else(Vec::new, LocalRun::carried),
            priority: self.priority,
        };
        client.submit(&submission).await
    }
}
