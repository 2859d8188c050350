//! Who the coordinator is to Vault: whoever a token in a file says, an AppRole, or each job for itself.

use std::fmt;
use std::time::Duration;

use axum::http::HeaderValue;
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Fault;
use super::answer::fault;
use super::http::Transport;
use super::limits::{TOKEN_MAX_BYTES, TOKEN_USED_PERCENT};
use crate::driver::message::RunLease;
use crate::identity;
use crate::options::VaultLogin;
use crate::services::Services;

/// A token of Vault's; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// As a header has it.
    pub(super) fn header(&self) -> Result<HeaderValue, Fault> {
        let value = HeaderValue::try_from(self.0.as_str());
        let mut value = value.map_err(|_| Fault::Refused("the token for Vault is none".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A token that was logged in for.
#[derive(Debug)]
struct Held {
    token: Token,
    /// From when on another one is taken; none: it has no end.
    until: Option<Instant>,
}

/// Logs in.
#[derive(Debug)]
pub(super) struct Login {
    how: VaultLogin,
    /// Of an AppRole. Held while somebody logs in, so that all who wait take the same.
    held: Mutex<Option<Held>>,
}

impl Login {
    pub(super) fn new(how: VaultLogin) -> Self {
        Self { how, held: Mutex::default() }
    }

    /// The token with which the secrets of this job are read.
    pub(super) async fn for_job(
        &self,
        transport: &Transport,
        services: &Services,
        lease: RunLease,
    ) -> Result<Token, Fault> {
        let VaultLogin::Jwt { mount, role, audience } = &self.how else {
            return match self.for_all(transport).await {
                Some(token) => token,
                None => Err(Fault::Refused("there is no way to log in to Vault".to_owned())),
            };
        };
        let jwt = identity::for_vault(services, lease, audience.clone()).await;
        let jwt = jwt.map_err(|error| match error.may_pass() {
            true => Fault::Away(format!("the job cannot say who it is to Vault: {error}")),
            false => Fault::Refused(format!("the job cannot say who it is to Vault: {error}")),
        })?;
        let held = log_in(transport, mount, &json!({"role": role, "jwt": jwt})).await?;
        Ok(held.token)
    }

    /// The token that all jobs share. None: each logs in for itself.
    pub(super) async fn for_all(&self, transport: &Transport) -> Option<Result<Token, Fault>> {
        match &self.how {
            VaultLogin::Jwt { .. } => None,
            VaultLogin::Token { file } => Some(of_file(file).await.map(Token)),
            VaultLogin::AppRole { mount, role_id, secret_id } => {
                let mut held = self.held.lock().await;
                if let Some(held) = &*held
                    && held.until.is_none_or(|until| Instant::now() < until)
                {
                    return Some(Ok(held.token.clone()));
                }
                let secret_id = match of_file(secret_id).await {
                    Ok(secret_id) => secret_id,
                    Err(fault) => return Some(Err(fault)),
                };
                let body = json!({"role_id": role_id, "secret_id": secret_id});
                let new = log_in(transport, mount, &body).await;
                Some(new.map(|new| held.insert(new).token.clone()))
            }
        }
    }

    /// Another token than this one, which counts no more. None: there is none but it.
    pub(super) async fn again(&self, transport: &Transport, refused: &Token) -> Result<Option<Token>, Fault> {
        let VaultLogin::AppRole { .. } = self.how else { return Ok(None) };
        {
            let mut held = self.held.lock().await;
            held.take_if(|held| held.token == *refused);
        }
        self.for_all(transport).await.transpose()
    }
}

/// What a file has, read each time: others write a new token or secret there.
async fn of_file(file: &std::path::Path) -> Result<String, Fault> {
    let away = |why: String| Fault::Away(format!("{}, which Vault is to be shown, {why}", file.display()));
    let text = tokio::fs::read(file).await.map_err(|error| away(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(text).map_err(|_| away("is not text".to_owned()))?;
    match text.trim() {
        "" => Err(away("is empty".to_owned())),
        text if text.len() > TOKEN_MAX_BYTES => Err(away("is too long".to_owned())),
        text => Ok(text.to_owned()),
    }
}

async fn log_in(transport: &Transport, mount: &str, body: &Json) -> Result<Held, Fault> {
    let answered = transport.post(&format!("auth/{mount}/login"), body).await?;
    if answered.status != 200 {
        return Err(fault(&format!("a login at `auth/{mount}`"), answered.status, &answered.body));
    }
    let token = answered.body.pointer("/auth/client_token").and_then(Json::as_str).unwrap_or_default();
    if token.is_empty() || token.len() > TOKEN_MAX_BYTES {
        return Err(Fault::Away(format!("Vault answered a login at `auth/{mount}` without a token")));
    }
    let seconds = answered.body.pointer("/auth/lease_duration").and_then(Json::as_u64).unwrap_or_default();
    let life = Duration::from_secs(seconds) * TOKEN_USED_PERCENT / 100;
    let until = (seconds > 0).then(|| Instant::now().checked_add(life)).flatten();
    Ok(Held { token: Token(token.to_owned()), until })
}
