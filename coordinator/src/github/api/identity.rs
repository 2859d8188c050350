//! Who asks: a token that was given, or an App, which has a token for each account that it is installed on.
//!
//! An installation's token lasts an hour and is made anew some minutes before it ends. Which installation a repository has is asked once and
//! remembered for a while. Both memories are bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::Method;
use ring::signature::RsaKeyPair;
use slipway_kit::clock::Clock;

use super::answer::Answer;
use super::http::Transport;
use super::limits::{self, Budget};
use super::{in_path, jwt};
use crate::forge::ForgeError;
use crate::options::GithubIdentity;

/// How long before its end a token is not used any more, in seconds.
const RENEW_S: u64 = 5 * 60;

/// How long an installation's token is used at most, in seconds, if its end cannot be read.
const TOKEN_S: u64 = 50 * 60;

/// How long is remembered which installation a repository has, in seconds.
const INSTALLATION_S: u64 = 60 * 60;

/// Entries of each memory; when there are more, all are asked again.
const KNOWN_MAX: usize = 10_000;

/// What answers to the App itself are remembered for: no repository has this name.
pub(super) const APP: &str = "";

/// Says who asks.
pub(super) struct Identity {
    who: Who,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    /// One asks for a token at a time; the others find it then.
    asking: tokio::sync::Mutex<()>,
}

enum Who {
    Token(String),
    App { id: String, key: Box<RsaKeyPair> },
}

#[derive(Default)]
struct Known {
    /// By repository, lower case: the installation, and until when that counts.
    installations: BTreeMap<String, (u64, u64)>,
    /// By installation: the token, and until when it is used.
    tokens: BTreeMap<u64, (String, u64)>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

impl Identity {
    pub(super) fn new(identity: &GithubIdentity, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let who = match identity {
            GithubIdentity::Token(token) => Who::Token(token.0.clone()),
            GithubIdentity::App { id, key } => Who::App { id: id.clone(), key: Box::new(key.pair()?) },
        };
        Ok(Self { who, clock, known: Mutex::default(), asking: tokio::sync::Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_s(&self) -> u64 {
        self.clock.unix_ms() / 1_000
    }

    /// A token for the App itself.
    pub(super) fn app_token(&self) -> Result<String, ForgeError> {
        match &self.who {
            Who::App { id, key } => jwt::token(key, id, self.now_s()).map_err(ForgeError::Refused),
            Who::Token(_) => Err(ForgeError::Refused("only an App can ask that".to_owned())),
        }
    }

    /// A token for what concerns this repository.
    pub(super) async fn for_repository(
        &self,
        transport: &Transport,
        budget: &Budget,
        repository: &str,
    ) -> Result<String, ForgeError> {
        if let Who::Token(token) = &self.who {
            return Ok(token.clone());
        }
        let _asking = self.asking.lock().await;
        let name = repository.to_ascii_lowercase();
        let known = self.known().installations.get(&name).copied();
        let installation = match known {
            Some((installation, until)) if until > self.now_s() => installation,
            _ => {
                let path = format!("/repos/{}/installation", in_path(repository));
                let answer = self.ask(transport, budget, Method::GET, &path).await?;
                let installation = answer.number("/id")?;
                let mut known = self.known();
                if known.installations.len() >= KNOWN_MAX {
                    known.installations.clear();
                }
                known.installations.insert(name, (installation, self.now_s() + INSTALLATION_S));
                installation
            }
        };
        if let Some((token, until)) = self.known().tokens.get(&installation)
            && *until > self.now_s()
        {
            return Ok(token.clone());
        }
        let path = format!("/app/installations/{installation}/access_tokens");
        let answer = self.ask(transport, budget, Method::POST, &path).await?;
        let token = answer.text("/token")?.to_owned();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ForgeError::Uncertain("the answer's token is none".to_owned()));
        }
        let until = self.until(answer.text("/expires_at").ok());
        let mut known = self.known();
        if known.tokens.len() >= KNOWN_MAX {
            known.tokens.clear();
        }
        known.tokens.insert(installation, (token.clone(), until));
        Ok(token)
    }

    /// Until when a token is used that ends at this time.
    fn until(&self, ends: Option<&str>) -> u64 {
        let ends = ends.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let ends = ends.and_then(|at| u64::try_from(at.as_second()).ok());
        ends.map_or(self.now_s() + TOKEN_S, |ends| ends.saturating_sub(RENEW_S))
    }

    /// A token was not taken: it is not used again, and which installation the repository has is asked again.
    pub(super) fn forget(&self, repository: &str, token: &str) {
        let mut known = self.known();
        known.tokens.retain(|_, (known, _)| known != token);
        known.installations.remove(&repository.to_ascii_lowercase());
    }

    async fn ask(
        &self,
        transport: &Transport,
        budget: &Budget,
        method: Method,
        path: &str,
    ) -> Result<Answer, ForgeError> {
        let token = self.app_token()?;
        let answer = transport.send(APP, &token, method, path, None).await?;
        budget.heed(&answer);
        let answer = match answer.status {
            401 => {
                let message = answer.told("the App's id or key is not taken");
                return Err(ForgeError::Later { wait: None, message });
            }
            404 => {
                return Err(ForgeError::Refused(answer.told("the App is not installed on the repository")));
            }
            _ => answer,
        };
        limits::judge(answer, budget.now_s())
    }
}
