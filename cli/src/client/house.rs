//! Calls that keep house: tokens of agents, pools, secrets, variables, keys of identity tokens.

use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::{Value as Json, json};

use super::{Client, listing};
use crate::failure::Failure;

/// What the coordinator keeps for jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// What workflows find in the `secrets` context.
    Secret,
    /// What they find in `vars`.
    Variable,
}

impl Kept {
    /// One of it, for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Variable => "variable",
        }
    }

    /// Many of it, for people and in paths.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Variable => "variables",
        }
    }

    fn path(self, name: &str) -> Result<String, Failure> {
        let what = match self {
            Self::Secret => "secret's name",
            Self::Variable => "variable's name",
        };
        Ok(format!("/{}/{}", self.plural(), piece(what, name)?))
    }
}

/// What a coordinator says of itself without being asked for a token.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Whether it is ready, else why not.
    pub ready: Result<(), String>,
    /// What its clock said (the header `Date`).
    pub date: Option<String>,
    /// The certificate that it showed (DER), verified; none: without TLS.
    pub certificate: Option<Vec<u8>>,
}

/// What a secret or a variable is given.
#[derive(Debug, Clone, Copy)]
pub enum KeptValue<'a> {
    /// Its value.
    Here(&'a str),
    /// Where its value is in HashiCorp Vault: `PATH#FIELD`.
    InVault(&'a str),
}

/// Whose a secret or variable is.
#[derive(Debug, Clone, Copy)]
pub struct KeptPlace<'a> {
    /// `owner/name`; none: everybody's.
    pub repository: Option<&'a str>,
    /// One of the repository's environments.
    pub environment: Option<&'a str>,
}

/// A name that is a piece of a path: checked here, so that one with `/` or `?` is no other call.
fn piece<'a>(what: &str, name: &'a str) -> Result<&'a str, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match !name.is_empty() && name.bytes().all(plain) && !name.starts_with('.') {
        true => Ok(name),
        false => Err(Failure::usage(format!(
            "`{}` cannot be a {what}: it has letters, digits, `-`, `_` and `.` only",
            name.escape_debug()
        ))),
    }
}

impl Client {
    /// How it stands with the coordinator.
    ///
    /// # Errors
    /// It is not there.
    pub async fn ready(&self, patience: Duration) -> Result<Ready, Failure> {
        let request = self.http.get(format!("{}/readyz", self.target.url())).timeout(patience);
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).map(ToOwned::to_owned);
        let shown = answer.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = shown.and_then(|shown| shown.peer_certificate()).map(<[u8]>::to_vec);
        let status = answer.status();
        let body = self.body(answer).await?;
        let ready = match status.is_success() {
            true => Ok(()),
            false => Err(self.refusal(status, &body).to_string()),
        };
        Ok(Ready { ready, date, certificate })
    }

    /// A token with which one agent enrols.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn make_agent_token(&self, labels: &[String], expires_in_s: u64) -> Result<Json, Failure> {
        let wanted = json!({"labels": labels, "expires_in_s": expires_in_s});
        self.ask(self.request(Method::POST, "/agents/tokens").json(&wanted)).await
    }

    /// The tokens that nobody used yet.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn agent_tokens(&self) -> Result<Json, Failure> {
        Ok(listing(self.ask(self.request(Method::GET, "/agents/tokens")).await?, "tokens"))
    }

    /// Makes a token good for nothing.
    ///
    /// # Errors
    /// There is none; and see [`super`].
    pub async fn revoke_agent_token(&self, id: &str) -> Result<(), Failure> {
        let path = format!("/agents/tokens/{}", piece("token's id", id)?);
        self.ask(self.request(Method::DELETE, &path)).await.map(drop)
    }

    /// A token for the API and the pages.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn make_token(&self, name: &str, role: &str, expires_in_s: u64) -> Result<Json, Failure> {
        let wanted = json!({"name": name, "role": role, "expires_in_s": expires_in_s});
        self.ask(self.request(Method::POST, "/tokens").json(&wanted)).await
    }

    /// The tokens that are good, but for the admin token.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn tokens(&self) -> Result<Json, Failure> {
        Ok(listing(self.ask(self.request(Method::GET, "/tokens")).await?, "tokens"))
    }

    /// Makes a token for the API good for nothing.
    ///
    /// # Errors
    /// There is none; and see [`super`].
    pub async fn revoke_token(&self, id: &str) -> Result<(), Failure> {
        let path = format!("/tokens/{}", piece("token's id", id)?);
        self.ask(self.request(Method::DELETE, &path)).await.map(drop)
    }

    /// Whose token this client has; `None`: the administrator's.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn own_name(&self) -> Result<Option<String>, Failure> {
        let answer: Json = self.ask(self.request(Method::GET, "/whoami")).await?;
        Ok(answer["name"].as_str().map(str::to_owned))
    }

    /// Removes an agent for good.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn remove_agent(&self, agent: &str) -> Result<(), Failure> {
        self.ask(self.request(Method::DELETE, &format!("/agents/{agent}"))).await.map(drop)
    }

    /// The pools, and how many jobs wait for none.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn pools(&self) -> Result<Json, Failure> {
        self.ask(self.request(Method::GET, "/pools")).await
    }

    /// Says how large a pool may be.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn set_pool(&self, name: &str, rule: &Json) -> Result<Json, Failure> {
        let path = format!("/pools/{}", piece("pool's name", name)?);
        self.ask(self.request(Method::PUT, &path).json(rule)).await
    }

    /// Forgets a pool's rule.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn remove_pool(&self, name: &str) -> Result<(), Failure> {
        let path = format!("/pools/{}", piece("pool's name", name)?);
        self.ask(self.request(Method::DELETE, &path)).await.map(drop)
    }

    /// The issuer of identity tokens and its keys.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn identity(&self) -> Result<Json, Failure> {
        self.ask(self.request(Method::GET, "/identity")).await
    }

    /// Lets another key sign identity tokens. `alone`: what others signed counts no longer.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn rotate_identity(&self, alone: bool) -> Result<Json, Failure> {
        self.ask(self.request(Method::POST, "/identity/rotate").json(&json!({ "alone": alone }))).await
    }

    /// Kept secrets under a new key.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn rotate_vault(&self) -> Result<Json, Failure> {
        self.ask(self.request(Method::POST, "/vault/rotate").json(&json!({}))).await
    }

    /// Which secrets or variables are kept.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn kept(&self, kind: Kept) -> Result<Json, Failure> {
        let path = format!("/{}", kind.plural());
        Ok(listing(self.ask(self.request(Method::GET, &path)).await?, kind.plural()))
    }

    /// Gives one a value.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn set_kept(
        &self,
        kind: Kept,
        name: &str,
        value: KeptValue<'_>,
        place: KeptPlace<'_>,
    ) -> Result<(), Failure> {
        let mut body = match value {
            KeptValue::Here(value) => json!({ "value": value }),
            KeptValue::InVault(reference) => json!({ "vault": reference }),
        };
        for (key, text) in [("repository", place.repository), ("environment", place.environment)] {
            if let Some(text) = text {
                body[key] = json!(text);
            }
        }
        self.ask(self.request(Method::PUT, &kind.path(name)?).json(&body)).await.map(drop)
    }

    /// Removes one.
    ///
    /// # Errors
    /// There is none; and see [`super`].
    pub async fn remove_kept(&self, kind: Kept, name: &str, place: KeptPlace<'_>) -> Result<(), Failure> {
        let path = kind.path(name)?;
        let given = [("repository", place.repository), ("environment", place.environment)];
        let given = given.into_iter().filter_map(|(key, text)| Some((key, text?)));
        // Only for its encoding.
        let query = Url::parse_with_params("http://localhost/", given);
        let query = query.ok().and_then(|url| Some(format!("?{}", url.query()?))).unwrap_or_default();
        self.ask(self.request(Method::DELETE, &format!("{path}{query}"))).await.map(drop)
    }
}
