//! `slipway logs --verify`: whether a run's records are complete and unchanged.

use serde::Deserialize;

use crate::client::{Client, types};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::output::table::{Table, result, text};

/// What the coordinator found.
#[derive(Debug, Deserialize)]
struct Verified {
    complete: bool,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    name: String,
    attempt: u32,
    state: String,
    records: u64,
    reported: Option<u64>,
    sealed: bool,
    problem: Option<String>,
}

pub(super) async fn run(client: &Client, id: &str, json: bool, out: &mut Out) -> Result<Exit, Failure> {
    let answer = client.verify_records(id).await?;
    let verified: Verified = types::read(answer.clone())?;
    let exit = if verified.complete { Exit::Success } else { Exit::WorkFailed };
    if json {
        out.json(&answer)?;
        return Ok(exit);
    }
    let mut table = Table::new(&["JOB", "ATTEMPT", "RECORDS", "REPORTED", "SEALED", "STATE"]);
    for attempt in &verified.attempts {
        table.row(vec![
            text(&attempt.name),
            text(attempt.attempt.to_string()),
            text(attempt.records.to_string()),
            text(attempt.reported.map_or("-".to_owned(), |records| records.to_string())),
            text(if attempt.sealed { "yes" } else { "no" }),
            result(&attempt.state),
        ]);
    }
    out.text(&table.render(out.colours))?;
    for Attempt { name, attempt, problem, .. } in &verified.attempts {
        if let Some(problem) = problem {
            out.line(&format!("{name}, attempt {attempt}: {problem}"))?;
        }
    }
    Ok(exit)
}
