//! Signing in at a provider: OpenID Connect, and GitHub's OAuth. docs/SIGN_IN.md is the page for users.
//!
//! Somebody is sent to the provider with an [`attempt`] in a cookie of theirs, and comes back with a code; [`oidc`] and [`github`] learn
//! with it who they are, [`roles`] says what they may do here. What follows is a session, which is journaled as a token of access that
//! nobody knows the text of: so it is audited, ends with its time or with `slipway tokens revoke`, and is good at every coordinator.
//!
//! Invariants: nothing a provider says is believed before it is known to be for this attempt (state, nonce, PKCE) and, of an identity
//! token, signed by the issuer for this client; no secret or token is in a message or a log; whoever no rule names is nobody here.
//! Deliberately absent: refresh tokens (a session has an end, and then the provider is asked again), and signing out at the provider.

mod ask;
mod attempt;
mod github;
mod id_token;
mod keys;
mod limits;
mod oidc;
mod roles;

use std::sync::Arc;

use axum::http::HeaderMap;
use slipway_kit::clock::Clock;
use tokio::sync::Semaphore;

use crate::https;
use crate::key::SigningKey;
use crate::options::{ProviderKind, SignInProvider};

pub(crate) use attempt::set_cookie;
use attempt::{Attempt, Attempts};
use github::Github;
use oidc::Oidc;
pub(crate) use roles::Entitled;

/// All providers; cheap to clone.
#[derive(Clone)]
pub(crate) struct SignIn(Arc<Parts>);

struct Parts {
    providers: Vec<Provider>,
    attempts: Attempts,
    clock: Arc<dyn Clock>,
}

/// One provider.
pub(crate) struct Provider {
    settings: SignInProvider,
    kind: Kind,
    /// Where people come back to.
    back: String,
    turns: Semaphore,
}

enum Kind {
    Oidc(Oidc),
    Github(Github),
}

/// Who somebody is, as the provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Person {
    name: String,
    groups: Vec<String>,
}

/// With what somebody comes back.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    iss: Option<String>,
}

/// Why somebody is not signed in; for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// They may begin again.
    #[error("{0}")]
    Again(String),
    /// The provider is away, or says what makes no sense; administrators find more in the log.
    #[error("{0}")]
    Trouble(String),
    /// They are known, and nobody here.
    #[error("{0}")]
    Nobody(String),
}

impl SignIn {
    /// Providers as the options have them. `address`: where people reach this coordinator, without a slash at its end.
    ///
    /// # Errors
    /// The machine's certificates cannot be read.
    pub(crate) fn new(
        providers: &[SignInProvider],
        address: &str,
        key: &SigningKey,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let made = providers.iter().map(|settings| {
            let client = https::client()?;
            let kind = match &settings.kind {
                ProviderKind::Oidc { issuer, scopes, name_claim, groups_claim } => {
                    let claims = oidc::Claims { name: name_claim.clone(), groups: groups_claim.clone() };
                    Kind::Oidc(Oidc::new(client, issuer, scopes, claims, clock))
                }
                ProviderKind::Github { url, api } => {
                    let asks_groups = settings.roles.iter().any(|rule| !rule.groups.is_empty());
                    Kind::Github(Github::new(client, url, api, asks_groups))
                }
            };
            let back = format!("{address}/sign-in/{}/back", settings.name);
            let turns = Semaphore::new(limits::AT_ONCE);
            Ok(Provider { settings: settings.clone(), kind, back, turns })
        });
        let providers = made.collect::<Result<Vec<_>, String>>()?;
        let attempts = Attempts::new(key);
        Ok(Self(Arc::new(Parts { providers, attempts, clock: Arc::clone(clock) })))
    }

    /// Names and labels.
    pub(crate) fn providers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.providers.iter().map(|provider| (provider.name(), provider.settings.label.as_str()))
    }

    /// The provider of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Provider> {
        self.0.providers.iter().find(|provider| provider.name() == name)
    }

    /// Sends somebody on: where to, and the value of the cookie that they come back with.
    ///
    /// # Errors
    /// The provider is away.
    pub(crate) async fn begin(&self, provider: &Provider, next: &str) -> Result<(String, String), Refusal> {
        let (attempt, cookie) = self.0.attempts.begin(provider.name(), next, self.0.clock.unix_ms());
        let client_id = &provider.settings.client_id;
        let url = match &provider.kind {
            Kind::Oidc(oidc) => oidc.address(client_id, &provider.back, &attempt).await?,
            Kind::Github(github) => github.address(client_id, &provider.back, &attempt),
        };
        Ok((url, cookie))
    }

    /// Somebody comes back: who they are and what they may do, and where they wanted to go.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn finish(
        &self,
        provider: &Provider,
        headers: &HeaderMap,
        answer: Answer,
    ) -> Result<(Entitled, String), Refusal> {
        let now_ms = self.0.clock.unix_ms();
        let attempt = self.0.attempts.of(headers, provider.name(), now_ms).ok_or_else(|| {
            Refusal::Again("this sign-in was not begun in this browser, or too long ago".to_owned())
        })?;
        if !answer.state.as_deref().is_some_and(|state| attempt.is_of(state)) {
            return Err(Refusal::Again("this is the answer to another sign-in".to_owned()));
        }
        let label = &provider.settings.label;
        if let Some(error) = &answer.error {
            let more = answer.error_description.as_ref().map_or(String::new(), |text| format!(" ({text})"));
            return Err(Refusal::Again(told(&format!("{label} did not let you in: {error}{more}"))));
        }
        let Some(code) = &answer.code else {
            return Err(Refusal::Again(format!("{label} sent no code")));
        };
        let Ok(_turn) = provider.turns.try_acquire() else {
            return Err(Refusal::Again("too many people sign in at the moment".to_owned()));
        };
        let exchange = Exchange {
            client_id: &provider.settings.client_id,
            secret: provider.settings.client_secret.as_ref().map(|secret| secret.0.as_str()),
            back: &provider.back,
            code,
            attempt: &attempt,
        };
        let person = match &provider.kind {
            Kind::Oidc(oidc) => {
                oidc.check_answer(answer.iss.as_deref()).await?;
                oidc.person(exchange).await?
            }
            Kind::Github(github) => github.person(exchange).await?,
        };
        let entitled = roles::entitle(&provider.settings, person)?;
        Ok((entitled, attempt.next))
    }
}

impl Provider {
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(crate) fn label(&self) -> &str {
        &self.settings.label
    }
}

/// Why a code is not taken that the provider gave.
const CODE_USED: &str = "this sign-in was used already, or took too long";

/// What a code is given for.
#[derive(Clone, Copy)]
struct Exchange<'a> {
    client_id: &'a str,
    secret: Option<&'a str>,
    back: &'a str,
    code: &'a str,
    attempt: &'a Attempt,
}

/// What a provider said, as long as people read.
fn told(text: &str) -> String {
    let plain = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    plain.take(limits::TOLD_MAX_CHARS).collect()
}
