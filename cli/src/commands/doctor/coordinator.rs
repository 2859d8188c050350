//! The coordinator: whether it is there, lets us in, has its caches, has agents, and agrees about the time.

use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use super::{Finding, Status, certificate};
use crate::client::house::Ready;
use crate::client::{Client, ServerArgs, Target};
use crate::settings::Settings;

/// Clocks that differ by more than this disagree about tokens' ends, in seconds.
const SKEW_LOW_S: u64 = 5;

/// By more than this nothing that has an end works.
const SKEW_HIGH_S: u64 = 60;

/// How long the coordinator has to say whether it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// All that is found; one note where no coordinator is named and none is on this machine.
pub(super) async fn look(args: &ServerArgs, settings: &Settings) -> Vec<Finding> {
    let named = args.server.is_some() || settings.server.is_some();
    let target = match Target::resolve(args, settings) {
        Ok(target) => target,
        Err(failure) => return vec![Finding::new("coordinator", Status::Failed, failure.to_string(), "")],
    };
    let client = match Client::new(target) {
        Ok(client) => client,
        Err(failure) => return vec![Finding::new("coordinator", Status::Failed, failure.to_string(), "")],
    };
    let url = client.target().url().to_owned();
    let Ready { ready, date, certificate } = match client.ready(READY_TIMEOUT).await {
        Ok(answer) => answer,
        Err(failure) if named => {
            return vec![Finding::new("coordinator", Status::Failed, failure.to_string(), "")];
        }
        Err(_) => {
            let message = format!("none answers at {url}");
            let hint = "name another with --server, or start one with `slipway up`";
            return vec![Finding::new("coordinator", Status::Note, message, hint)];
        }
    };
    let mut findings = vec![match ready {
        Ok(()) => Finding::ok("coordinator", format!("{url} is ready")),
        Err(why) => Finding::new("coordinator", Status::Failed, format!("{url} is not ready: {why}"), ""),
    }];
    findings.extend(certificate::look(client.target(), certificate.as_deref()));
    findings.extend(date.and_then(|date| clock(&date)));
    match client.agents().await {
        Ok(agents) => findings.push(fleet(&agents)),
        Err(failure) => {
            findings.push(Finding::new("token", Status::Failed, failure.to_string(), ""));
            return findings;
        }
    }
    if let Ok(caches) = client.cache().await {
        findings.push(cache(&caches));
        findings.extend(cache_store(&caches));
    }
    findings
}

/// This machine's clock beside the coordinator's (RFC 9110's `Date`).
fn clock(date: &str) -> Option<Finding> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let ours = jiff::Timestamp::try_from(SystemTime::now()).ok()?;
    let skew_s = ours.as_second().abs_diff(theirs.as_second());
    let found = format!("{skew_s} s apart from the coordinator's");
    let hint = "let both machines keep time (systemd-timesyncd or chrony)";
    Some(if skew_s <= SKEW_LOW_S {
        Finding::ok("clock", found)
    } else if skew_s <= SKEW_HIGH_S {
        Finding::new("clock", Status::Warning, found, hint)
    } else {
        Finding::new("clock", Status::Failed, found, hint)
    })
}

fn fleet(agents: &Json) -> Finding {
    let agents = agents.as_array().map(Vec::as_slice).unwrap_or_default();
    let connected = agents.iter().filter(|agent| agent["connected"] == true).count();
    let gone = agents.len() - connected;
    let found = format!(
        "{connected} agents are connected{}",
        match gone {
            0 => String::new(),
            gone => format!(", {gone} are gone"),
        }
    );
    match connected {
        0 => Finding::new(
            "agents",
            Status::Warning,
            found,
            "jobs wait: `slipway agents token` makes a token, with which slipway-agent starts",
        ),
        _ => Finding::ok("agents", found),
    }
}

fn cache(cache: &Json) -> Finding {
    let cache = &cache["build_tools"];
    match (cache["place"].as_str().unwrap_or_default(), cache["up"].as_bool()) {
        ("off", _) => Finding::new("cache", Status::Note, "the build tools' cache is off", ""),
        (place, Some(true)) => Finding::ok("cache", format!("on {place}, which answers")),
        (place, _) => Finding::new(
            "cache",
            Status::Warning,
            format!("on {place}, which does not answer: builds go on without it"),
            "start it again, or look at the coordinator's log",
        ),
    }
}

/// The object store behind the cache, if there is one.
fn cache_store(cache: &Json) -> Option<Finding> {
    let store = &cache["build_tools"]["store"];
    let url = store["url"].as_str()?;
    Some(match store["up"].as_bool() {
        Some(true) => Finding::ok("cache store", format!("{url}, which answers as far as is known")),
        _ => Finding::new(
            "cache store",
            Status::Warning,
            format!("{url} does not answer: what the cache has no room for is lost"),
            "check --cache-store, the credentials and the network; the coordinator's log says what it answered",
        ),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_store_behind_the_cache_is_told_if_there_is_one() {
        let of = |store: Json| cache_store(&serde_json::json!({ "build_tools": { "store": store } }));
        assert!(of(Json::Null).is_none());
        let up = of(serde_json::json!({ "url": "s3://b/p", "up": true })).unwrap();
        let down = of(serde_json::json!({ "url": "s3://b/p", "up": false })).unwrap();
        assert_eq!((up.status, down.status), (Status::Ok, Status::Warning));
        assert!(down.message.contains("s3://b/p"));
    }

    #[test]
    fn a_clock_that_is_off_is_told() {
        let at = |seconds: i64| {
            let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&then).unwrap()
        };
        assert_eq!(clock(&at(0)).unwrap().status, Status::Ok);
        assert_eq!(clock(&at(-30)).unwrap().status, Status::Warning);
        assert_eq!(clock(&at(3_600)).unwrap().status, Status::Failed);
        assert!(clock("some day").is_none());
    }
}
