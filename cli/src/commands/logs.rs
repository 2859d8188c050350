//! `slipway logs`: what a run's steps wrote.

use clap::Args;

use crate::client::types::{self, Event, Run};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::follow::{Board, Transcript};
use crate::output::{Out, escape};
use crate::settings::Settings;

/// Flags of `slipway logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    /// Only this job: its id in the file, its name, or an instance's id
    job: Option<String>,
    /// Go on until the run ends
    #[arg(short, long)]
    follow: bool,
    /// The contract's objects, one a line, instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Logs {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let id = client.find_run(&self.run).await?;
        let run: Run = types::read(client.run(&id).await?)?;
        let mut board = Board::default();
        board.take_status(&run, 0);
        if let Some(wanted) = &self.job
            && !run.instances.is_empty()
            && !board.jobs().iter().any(|job| is(wanted, &job.instance, &job.job, &job.name))
        {
            let names: Vec<String> = board.jobs().iter().map(|job| escape::name(&job.job)).collect();
            let wanted = escape::name(wanted);
            return Err(Failure::usage(format!("run {id} has no job `{wanted}`, only {}", names.join(", "))));
        }
        let mut transcript = Transcript::new(out.colours, out.terminal, self.job.is_none());
        let mut watch = client.watch(&id, self.follow);
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
        let Some(wanted) = &self.job else { return true };
        let job = event.instance().and_then(|instance| board.job(instance));
        job.is_some_and(|(_, job)| is(wanted, &job.instance, &job.job, &job.name))
    }
}

fn is(wanted: &str, instance: &str, job: &str, name: &str) -> bool {
    wanted == instance || wanted.eq_ignore_ascii_case(job) || wanted == name
}
