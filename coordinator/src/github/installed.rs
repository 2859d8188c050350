//! Where a GitHub App was installed, or is no more: what a repository starts by itself counts from its installation on, not from its first
//! push, and no longer than that.
//!
//! Everything here is a convenience: what cannot be read now (the code is somewhere else, git wants a name) is read with the repository's
//! first delivery, as without an App.

use serde_json::Value as Json;

use super::learn;
use super::payload::{self, host};
use crate::services::Services;

/// Events about an App's installations. No workflow can name them.
pub(super) const EVENTS: [&str; 2] = ["installation", "installation_repositories"];

/// Repositories of one delivery that are looked at; the others are with their first delivery.
const LOOKED_AT_MAX: usize = 100;

/// What a delivery says of installations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These repositories came: name and where their code is.
    Came(Vec<(String, String)>),
    /// These went.
    Went(Vec<String>),
    /// All of this account's went: it stands before the slash.
    WentOf(String),
    /// Nothing that matters here.
    Nothing,
}

/// Reads a payload. A repository whose name is none is left out.
pub(super) fn read(event: &str, payload: &Json) -> Change {
    let action = payload.get("action").and_then(Json::as_str).unwrap_or_default();
    let account = |field: &str| {
        let text = payload.pointer(&format!("/installation/account/{field}")).and_then(Json::as_str);
        text.filter(|text| !text.is_empty())
    };
    let names = |key: &str| {
        let listed = payload.get(key).and_then(Json::as_array).into_iter().flatten();
        listed.filter_map(|one| one.get("full_name")?.as_str()).filter(|name| is_name(name))
    };
    match (event, action) {
        ("installation", "created" | "unsuspend") | ("installation_repositories", "added") => {
            let Some(site) = account("html_url").and_then(site) else { return Change::Nothing };
            let key = if event == "installation" { "repositories" } else { "repositories_added" };
            Change::Came(names(key).map(|name| (name.to_owned(), format!("{site}/{name}.git"))).collect())
        }
        ("installation_repositories", "removed") => {
            Change::Went(names("repositories_removed").map(str::to_owned).collect())
        }
        ("installation", "deleted" | "suspend") => {
            account("login").map_or(Change::Nothing, |login| Change::WentOf(login.to_owned()))
        }
        _ => Change::Nothing,
    }
}

/// `https://HOST` of an address there.
fn site(url: &str) -> Option<String> {
    let scheme = url.split_once("://")?.0;
    let host = host(url).filter(|host| !host.is_empty() && !host.contains('@'))?;
    matches!(scheme, "http" | "https").then(|| format!("{scheme}://{host}"))
}

/// `owner/name` of characters that GitHub takes, so that it fits into an address.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !part.is_empty() && part.bytes().all(fine) && !part.bytes().all(|byte| byte == b'.')
    };
    name.split_once('/').is_some_and(|(owner, short)| part(owner) && part(short))
}

/// Deals with one; gives what became of it, for people.
pub(super) async fn heard(services: &Services, event: &str, payload: &Json) -> String {
    match read(event, payload) {
        Change::Nothing => "starts nothing".to_owned(),
        Change::Came(repositories) => {
            let actor = payload.pointer("/sender/login").and_then(Json::as_str).unwrap_or_default();
            let mut outcomes = Vec::new();
            for (name, clone_url) in repositories.iter().take(LOOKED_AT_MAX) {
                outcomes.push(match came(services, name, clone_url, actor).await {
                    Ok(said) => format!("{name}: {said}"),
                    Err(error) => format!("{name}: looked at with its first delivery: {error}"),
                });
            }
            if repositories.len() > LOOKED_AT_MAX {
                outcomes
                    .push(format!("{} more with their first delivery", repositories.len() - LOOKED_AT_MAX));
            }
            outcomes.join("; ")
        }
        Change::Went(names) => {
            went(services, |name| names.iter().any(|gone| gone.eq_ignore_ascii_case(name))).await
        }
        Change::WentOf(account) => {
            went(services, |name| {
                name.split('/').next().is_some_and(|owner| owner.eq_ignore_ascii_case(&account))
            })
            .await
        }
    }
}

async fn came(services: &Services, name: &str, clone_url: &str, actor: &str) -> Result<String, String> {
    let url = payload::served(name, Some(clone_url), &services.options.webhook)?;
    let known = services.repositories.find(name);
    let repository = match known {
        Some(known) => known,
        None => learn::introduce(services, name, &url).await.map_err(|error| error.to_string())?,
    };
    if repository.standing.is_some() {
        return Ok("known already".to_owned());
    }
    learn::learn_standing(services, &repository, actor).await.map_err(|error| error.to_string())?;
    Ok("looked at".to_owned())
}

/// Forgets what such repositories start by themselves; their next delivery, if one comes, has it read again.
async fn went(services: &Services, is_gone: impl Fn(&str) -> bool) -> String {
    let known = services.repositories.all();
    let gone = known.iter().filter(|known| known.standing.is_some() && is_gone(&known.name));
    let mut outcomes = Vec::new();
    for repository in gone {
        let forget = |before: Option<_>| {
            before.map(|before| crate::repositories::Repository { standing: None, ..before })
        };
        outcomes.push(match services.repositories.change(&repository.name, forget).await {
            Ok(()) => format!("{}: starts nothing by itself any more", repository.name),
            Err(error) => format!("{}: cannot be forgotten: {error}", repository.name),
        });
    }
    services.schedules.notify_one();
    if outcomes.is_empty() { "of no repository that is known".to_owned() } else { outcomes.join("; ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn about(event: &str, action: &str, url: &str, names: &[&str]) -> Change {
        let listed: Vec<_> = names.iter().map(|name| json!({"full_name": name, "private": true})).collect();
        let payload = json!({
            "action": action, "installation": {"id": 2, "account": {"login": "octo", "html_url": url}},
            "repositories": listed, "repositories_added": listed, "repositories_removed": listed,
        });
        read(event, &payload)
    }

    #[test]
    fn installations_name_repositories_and_where_their_code_is() {
        let url = "https://ghe.example/octo";
        let came = Change::Came(vec![("octo/a.b".into(), "https://ghe.example/octo/a.b.git".into())]);
        assert_eq!(about("installation", "created", url, &["octo/a.b"]), came);
        assert_eq!(about("installation", "unsuspend", url, &["octo/a.b"]), came);
        assert_eq!(about("installation_repositories", "added", url, &["octo/a.b"]), came);
        let went = Change::Went(vec!["octo/a".into()]);
        assert_eq!(about("installation_repositories", "removed", url, &["octo/a"]), went);
        assert_eq!(about("installation", "deleted", url, &[]), Change::WentOf("octo".into()));
        assert_eq!(about("installation", "new_permissions_accepted", url, &["octo/a"]), Change::Nothing);
    }

    #[test]
    fn what_would_lead_elsewhere_is_left_out() {
        let url = "https://ghe.example/octo";
        for name in
            ["octo", "octo/", "/a", "octo/a/b", "octo/..", "octo/a b", "octo/a?b", "octo/a%2f", "o@x/a"]
        {
            assert_eq!(about("installation", "created", url, &[name]), Change::Came(Vec::new()), "{name}");
        }
        for url in ["", "octo", "file:///octo", "ext::sh", "https:///octo", "https://user@elsewhere/octo"] {
            assert_eq!(about("installation", "created", url, &["octo/a"]), Change::Nothing, "{url}");
        }
    }
}
