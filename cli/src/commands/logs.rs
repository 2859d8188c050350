//! `slipway logs`: what a run's steps wrote.

use clap::Args;

use crate::client::types::{self, Event, Run};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::follow::{Board, Job, Looks, Transcript};
use crate::output::{Out, escape};
use crate::settings::Settings;

/// Flags of `slipway logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    /// Only this job: its id in the file, its name, or an instance's id
    job: Option<String>,
    /// Begin with this line of each job's log, counted from 1
    #[arg(long, value_name = "LINE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// Go on until the run ends
    #[arg(short, long)]
    follow: bool,
    /// The contract's objects, one a line, instead of text
    #[arg(long)]
    json: bool,
    /// Instead of showing logs, read all of the run's records and compare them with what its agents reported; exits with 1
    /// when some are missing or changed
    #[arg(long, conflicts_with_all = ["follow", "job", "verbose", "from"])]
    verify: bool,
    /// Show also the script of each step before what it prints
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Logs {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let id = client.find_run(&self.run).await?;
        if self.verify {
            return super::logs_verify::run(&client, &id, self.json, out).await;
        }
        let run: Run = types::read(client.run(&id).await?)?;
        let mut board = Board::default();
        board.take_status(&run, 0);
        let fitting = board.jobs().iter().filter(|job| self.names(job)).count();
        if let Some(wanted) = &self.job
            && fitting == 0
            && run.state == "finished"
        {
            let names: Vec<String> = board.jobs().iter().map(|job| escape::name(&job.job)).collect();
            let wanted = escape::name(wanted);
            return Err(Failure::usage(format!("run {id} has no job `{wanted}`, only {}", names.join(", "))));
        }
        // One job's log needs no names; several need to be told apart.
        let mut transcript = Transcript::new(Looks {
            colours: out.colours,
            prefix: self.job.is_none() || fitting > 1,
            verbose: self.verbose,
        });
        let mut watch = client.watch_from(&id, self.follow, self.from);
        while let Some(line) = watch.next().await? {
            if let Some(instance) = line.event.instance()
                && !board.knows(instance)
                && self.follow
            {
                board.take_status(&types::read(client.run(&id).await?)?, 0);
            }
            board.take_event(&line.event, 0);
            if !self.wants(&line.event, &board) {
                continue;
            }
            if self.json {
                out.line(&line.raw)?;
                continue;
            }
            for text in transcript.lines(&line.event, &board) {
                out.line(&text)?;
            }
        }
        Ok(Exit::Success)
    }

    fn wants(&self, event: &Event, board: &Board) -> bool {
        let job = event.instance().and_then(|instance| board.job(instance));
        self.job.is_none() || job.is_some_and(|(_, job)| self.names(job))
    }

    fn names(&self, job: &Job) -> bool {
        let named = |wanted: &String| {
            *wanted == job.instance || wanted.eq_ignore_ascii_case(&job.job) || *wanted == job.name
        };
        self.job.as_ref().is_some_and(named)
    }
}
