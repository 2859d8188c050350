//! What the pages of secrets and of variables have in common: whose something is, and the form that says it.

use maud::{Markup, html};
use serde::Deserialize;

use super::error::PageError;
use super::layout::form_token;
use super::session::Session;
use super::words::name;
use crate::house::{Address, KEPT_NAME_BYTES_MAX};
use crate::http::kept::{Place, address};

/// What a page keeps: `secret` or `variable`, and where its page is.
pub(super) struct Kind {
    pub(super) word: &'static str,
    pub(super) path: &'static str,
}

/// The cells that say which it is.
pub(super) fn cells(address: &Address) -> Markup {
    let (repository, environment) = address.scope.parts();
    html! {
        th scope="row" { code { (address.name) } }
        td { @match repository { Some(repository) => (name(repository)), None => "every repository" } }
        td { @match environment { Some(environment) => (name(environment)), None => "every job" } }
    }
}

/// Removes it.
pub(super) fn removal(kind: &Kind, address: &Address, session: &Session) -> Markup {
    let (repository, environment) = address.scope.parts();
    html! {
        form method="post" action={ (kind.path) "/remove" } {
            (form_token(session))
            input type="hidden" name="name" value=(address.name);
            input type="hidden" name="repository" value=(repository.unwrap_or_default());
            input type="hidden" name="environment" value=(environment.unwrap_or_default());
            button.danger type="submit" aria-label={ "Remove " (address.describe()) } { "Remove" }
        }
    }
}

/// Gives one a value. `or_elsewhere`: a field for where the value is instead.
pub(super) fn form(kind: &Kind, session: &Session, or_elsewhere: Option<&Markup>) -> Markup {
    let id = |field: &str| format!("{}-{field}", kind.word);
    html! {
        form.gate method="post" action=(kind.path) {
            (form_token(session))
            div.fields {
                div.wide {
                    label for=(id("name")) { "Name" }
                    input id=(id("name")) type="text" name="name" required maxlength=(KEPT_NAME_BYTES_MAX) autocomplete="off";
                }
                div.wide {
                    label for=(id("repository")) { "Repository, or empty for all" }
                    input id=(id("repository")) type="text" name="repository" placeholder="owner/name" autocomplete="off";
                }
                div.wide {
                    label for=(id("environment")) { "Environment, or empty for every job" }
                    input id=(id("environment")) type="text" name="environment" autocomplete="off";
                }
            }
            div.field {
                label for=(id("value")) { "Value" }
                textarea id=(id("value")) name="value" required[or_elsewhere.is_none()] rows="3" autocomplete="off" spellcheck="false" {}
            }
            @if let Some(field) = or_elsewhere { (field) }
            button.primary type="submit" { "Set the " (kind.word) }
        }
    }
}

/// Which one; what is empty is not said.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Chosen {
    name: String,
    repository: String,
    environment: String,
    value: String,
    /// Where it is in HashiCorp Vault.
    vault: String,
    pub(super) form_token: String,
}

impl Chosen {
    pub(super) fn address(&self, kind: &Kind) -> Result<Address, PageError> {
        let said = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let place = Place { repository: said(&self.repository), environment: said(&self.environment) };
        Ok(address(kind.word, self.name.trim(), place)?)
    }

    /// Where the value is in HashiCorp Vault.
    pub(super) fn vault(&self) -> Option<&str> {
        Some(self.vault.trim()).filter(|text| !text.is_empty())
    }

    /// Browsers send lines as networks have them; keys and certificates are files.
    pub(super) fn value(&self) -> String {
        self.value.replace("\r\n", "\n")
    }
}
