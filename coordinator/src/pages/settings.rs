//! `/settings`: how this coordinator was started, for administrators. What it can be told while it runs has pages of its own
//! ([`super::settings_tokens`], [`super::settings_secrets`], [`super::settings_variables`]); nothing here shows a password, key or token.

use axum::extract::State;
use maud::{Markup, html};

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::words::{bytes, name, number};
use crate::journal::JournalPlace;
use crate::options::{GithubIdentity, Objects, Options, ProviderKind, SignInProvider};
use crate::results::limits::CACHE_REPOSITORY_MAX_BYTES;
use crate::services::Services;

const TABS: [(&str, &str); 4] = [
    ("/settings", "This coordinator"),
    ("/settings/tokens", "Tokens"),
    ("/settings/secrets", "Secrets"),
    ("/settings/variables", "Variables"),
];

/// The pages of settings.
pub(super) fn tabs(here: &str) -> Markup {
    html! {
        nav aria-label="Settings" {
            ul.tabs { @for (path, text) in TABS { li { a href=(path) aria-current=[(path == here).then_some("page")] { (text) } } } }
        }
    }
}

fn fact(what: &str, value: &Markup) -> Markup {
    html! { tr { th scope="row" { (what) } td { (value) } } }
}

fn facts(title: &str, id: &str, facts: &[(&str, Markup)]) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) }
            div.scroll tabindex="0" role="region" aria-label={ "Values: " (title) } {
                table.settings { tbody { @for (what, value) in facts { (fact(what, value)) } } }
            }
        }
    }
}

fn text(text: &str) -> Markup {
    html! { code { (text) } }
}

fn word(yes: bool, when: &str, else_: &str) -> Markup {
    html! { (if yes { when } else { else_ }) }
}

fn journal(options: &Options) -> Markup {
    match &options.journal {
        JournalPlace::Sqlite => html! { "SQLite, in the data directory" },
        JournalPlace::Postgres(_) => html! { "PostgreSQL" },
    }
}

fn objects(options: &Options) -> Markup {
    match &options.objects {
        None => html! { "in the data directory" },
        Some(Objects::Folder(folder)) => text(&folder.display().to_string()),
        Some(Objects::Bucket(_)) => html! { "in an object store" },
    }
}

fn days(days: Option<u64>) -> Markup {
    match days {
        None => html! { "for ever" },
        Some(days) => html! { (number(days)) " days" },
    }
}

fn github(options: &Options) -> Markup {
    match options.github.as_ref().map(|github| (&github.identity, &github.api)) {
        None => html! { "not told of runs" },
        Some((GithubIdentity::App { id, .. }, api)) => {
            html! { "told by the App " (text(id)) " at " (text(api)) }
        }
        Some((GithubIdentity::Token(_), api)) => html! { "told with a token at " (text(api)) },
    }
}

fn provider(provider: &SignInProvider) -> Markup {
    let place = match &provider.kind {
        ProviderKind::Oidc { issuer, .. } => issuer,
        ProviderKind::Github { url, .. } => url,
    };
    html! {
        tr {
            th scope="row" { (name(&provider.label)) " " span.hint { (name(place)) } }
            td {
                ul {
                    @for rule in &provider.roles {
                        li {
                            strong { (rule.role.word()) } ": "
                            @if rule.everyone { "whoever can sign in there" }
                            @else {
                                @for (at, each) in rule.users.iter().chain(&rule.groups).enumerate() { @if at > 0 { ", " } (name(each)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sign_in(providers: &[SignInProvider]) -> Markup {
    html! {
        section aria-labelledby="sign-in-title" {
            h2 #sign-in-title { "Who may sign in" }
            @if providers.is_empty() {
                p.nothing { "Whoever has a token. Providers stand in the configuration file, under " code { "[[sign_in]]" } "." }
            } @else {
                p.hint { "Besides whoever has a token. Of several roles the highest counts." }
                div.scroll tabindex="0" role="region" aria-label="Providers" {
                    table {
                        thead { tr { th scope="col" { "Provider" } th scope="col" { "Roles" } } }
                        tbody { @for each in providers { (provider(each)) } }
                    }
                }
            }
        }
    }
}

pub(super) async fn page(State(services): State<Services>, visitor: Visitor) -> Result<Html, PageError> {
    let options = &services.options;
    let public = options.public_url.as_deref();
    let keep_journal = options.keep_journal.map(|kept| kept.as_secs() / (24 * 3_600));
    let keep_blobs = options.keep_blobs.map(|kept| kept.as_secs() / (24 * 3_600));
    let main = html! {
        h1 { "Settings" }
        (tabs("/settings"))
        p.hint { "As the coordinator was started; flags, variables and the configuration file change it." }
        (facts("Addresses", "addresses-title", &[
            ("HTTP", text(&options.http.to_string())),
            ("gRPC", text(&options.grpc.to_string())),
            ("TLS of gRPC", word(options.tls.is_some(), "on", "off")),
            ("Public address", public.map_or_else(|| html! { "none: reports have no links" }, text)),
        ]))
        (facts("What is kept", "kept-title", &[
            ("Data directory", text(&options.data_dir.display().to_string())),
            ("Journal", journal(options)),
            ("The journal is kept", days(keep_journal)),
            ("Blobs, logs, artifacts", objects(options)),
            ("Logs are kept", days(Some(options.keep_logs_days.into()))),
            ("Blobs of no run are kept", days(keep_blobs)),
            ("Caches of one repository", html! { "at most " (bytes(options.cache_quota.actions_bytes(CACHE_REPOSITORY_MAX_BYTES))) }),
        ]))
        (facts("Events", "events-title", &[
            ("Webhooks", word(options.webhook.secret.is_some(), "accepted when signed", "not accepted: no secret is set")),
            ("GitHub", github(options)),
            ("Badges", word(options.badges, "served to whoever asks", "not served")),
        ]))
        (sign_in(&options.sign_in))
    };
    let frame = Frame {
        title: "Settings",
        session: Some(&visitor.session),
        here: Some(Place::Settings),
        live: None,
        now_ms: services.clock.unix_ms(),
    };
    Ok(whole(&frame, main))
}
