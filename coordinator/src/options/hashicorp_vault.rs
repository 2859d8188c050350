//! Where values of kept secrets may be: `[hashicorp_vault]` of the configuration file. docs/SECRETS.md describes it.
//!
//! All of it is checked when the coordinator starts, but for what Vault itself says: it may be away then.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::github::is_private_address;
use super::{OptionsError, wrong};

const TABLE: &str = "[hashicorp_vault]";

/// The longest text of a setting, in bytes.
const TEXT_MAX_BYTES: usize = 500;

/// `[hashicorp_vault]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HashicorpVaultSetting {
    address: String,
    namespace: Option<String>,
    ca_file: Option<PathBuf>,
    auth: Auth,
    token_file: Option<PathBuf>,
    role_id: Option<String>,
    secret_id_file: Option<PathBuf>,
    role: Option<String>,
    audience: Option<String>,
    mount: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Auth {
    Token,
    AppRole,
    Jwt,
}

/// Which Vault, and who Slipway is to it; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashicorpVaultOptions {
    /// Where it is, without a slash at its end.
    pub address: String,
    /// The namespace in which everything is.
    pub namespace: Option<String>,
    /// Certificates (PEM) of the authorities that may have made its own; none: those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Who Slipway is to it.
    pub login: VaultLogin,
}

/// Who Slipway is to Vault.
#[derive(Clone, PartialEq, Eq)]
pub enum VaultLogin {
    /// Whoever the token in this file says. It is read for each job: somebody else keeps it good.
    Token {
        /// The file.
        file: PathBuf,
    },
    /// An AppRole.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role_id: String,
        /// The file with what proves it. It is read for each login.
        secret_id: PathBuf,
    },
    /// Each job for itself, by an identity token of this coordinator.
    Jwt {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role: String,
        /// Whom the tokens are for.
        audience: String,
    },
}

impl fmt::Debug for VaultLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { file } => f.debug_struct("Token").field("file", file).finish(),
            // Half of what it takes.
            Self::AppRole { mount, .. } => {
                f.debug_struct("AppRole").field("mount", mount).finish_non_exhaustive()
            }
            Self::Jwt { mount, role, audience } => f
                .debug_struct("Jwt")
                .field("mount", mount)
                .field("role", role)
                .field("audience", audience)
                .finish(),
        }
    }
}

/// Checks what the file says. `has_address`: others can read this coordinator's keys.
///
/// # Errors
/// The table, the field, and what to write.
pub(super) fn load(
    setting: Option<HashicorpVaultSetting>,
    has_address: bool,
) -> Result<Option<HashicorpVaultOptions>, OptionsError> {
    let Some(setting) = setting else { return Ok(None) };
    let address = setting.address.trim_end_matches('/').to_owned();
    if !is_private_address(&address) {
        let reason = format!("`address`: `{}` is no https address; write https://HOST:8200", setting.address);
        return Err(wrong(TABLE, reason));
    }
    let fields = [
        ("token_file", setting.token_file.is_some(), Auth::Token),
        ("role_id", setting.role_id.is_some(), Auth::AppRole),
        ("secret_id_file", setting.secret_id_file.is_some(), Auth::AppRole),
        ("role", setting.role.is_some(), Auth::Jwt),
        ("audience", setting.audience.is_some(), Auth::Jwt),
    ];
    if let Some((field, ..)) = fields.iter().find(|(_, given, of)| *given && *of != setting.auth) {
        return Err(wrong(TABLE, format!("`{field}` means nothing with auth = \"{}\"", setting.auth.word())));
    }
    if setting.auth == Auth::Token && setting.mount.is_some() {
        return Err(wrong(TABLE, "`mount` means nothing with auth = \"token\""));
    }
    let needed = |field: &str| wrong(TABLE, format!("auth = \"{}\" needs `{field}`", setting.auth.word()));
    let mount = match setting.mount {
        Some(mount) => self::mount(&mount)?,
        None => setting.auth.word().to_owned(),
    };
    let login = match setting.auth {
        Auth::Token => VaultLogin::Token { file: setting.token_file.ok_or_else(|| needed("token_file"))? },
        Auth::AppRole => VaultLogin::AppRole {
            mount,
            role_id: text("role_id", setting.role_id.ok_or_else(|| needed("role_id"))?)?,
            secret_id: setting.secret_id_file.ok_or_else(|| needed("secret_id_file"))?,
        },
        Auth::Jwt if !has_address => {
            let reason = "auth = \"jwt\" needs `public_url`: Vault reads this coordinator's keys there";
            return Err(wrong(TABLE, reason));
        }
        Auth::Jwt => VaultLogin::Jwt {
            mount,
            role: text("role", setting.role.ok_or_else(|| needed("role"))?)?,
            audience: text("audience", setting.audience.unwrap_or_else(|| address.clone()))?,
        },
    };
    let namespace = setting.namespace.map(|name| text("namespace", name)).transpose()?;
    Ok(Some(HashicorpVaultOptions { address, namespace, ca_file: setting.ca_file, login }))
}

impl Auth {
    /// As the file has it; also where Vault mounts the method if nobody says otherwise.
    fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::AppRole => "approle",
            Self::Jwt => "jwt",
        }
    }
}

fn text(field: &str, text: String) -> Result<String, OptionsError> {
    let good = !text.trim().is_empty()
        && text.len() <= TEXT_MAX_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    match good {
        true => Ok(text),
        false => Err(wrong(
            TABLE,
            format!("`{field}` is no text of 1 to {TEXT_MAX_BYTES} characters without spaces"),
        )),
    }
}

fn mount(path: &str) -> Result<String, OptionsError> {
    let path = path.trim_matches('/');
    let path = path.strip_prefix("auth/").unwrap_or(path);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let good = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
    match path.len() <= TEXT_MAX_BYTES && path.split('/').all(good) {
        true => Ok(path.to_owned()),
        false => {
            Err(wrong(TABLE, format!("`mount`: `{path}` is none; write what follows auth/, such as jwt")))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn read(table: Json, has_address: bool) -> Result<HashicorpVaultOptions, String> {
        let setting = serde_json::from_value(table).map_err(|error| error.to_string())?;
        load(Some(setting), has_address).map(Option::unwrap).map_err(|error| error.to_string())
    }

    #[test]
    fn three_ways_to_log_in() {
        let token = json!({"address": "https://v:8200/", "auth": "token", "token_file": "/t"});
        let token = read(token, false).unwrap();
        assert_eq!(token.address, "https://v:8200");
        assert_eq!(token.login, VaultLogin::Token { file: "/t".into() });
        let role = json!({
            "address": "http://127.0.0.1:8200", "auth": "approle", "role_id": "r", "secret_id_file": "/s", "mount": "/auth/ci/",
        });
        let expected =
            VaultLogin::AppRole { mount: "ci".to_owned(), role_id: "r".to_owned(), secret_id: "/s".into() };
        assert_eq!(read(role, false).unwrap().login, expected);
        let jwt = json!({"address": "https://v", "namespace": "team/a", "auth": "jwt", "role": "ci"});
        let jwt = read(jwt, true).unwrap();
        let audience = "https://v".to_owned();
        assert_eq!(jwt.login, VaultLogin::Jwt { mount: "jwt".to_owned(), role: "ci".to_owned(), audience });
        assert_eq!(jwt.namespace.as_deref(), Some("team/a"));
        assert!(load(None, false).unwrap().is_none());
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_field() {
        let with = |rest: Json| {
            let mut table = json!({"address": "https://v"});
            table.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            table
        };
        for (table, told) in [
            (json!({"address": "http://v:8200", "auth": "token", "token_file": "/t"}), "no https address"),
            (with(json!({"auth": "token"})), "needs `token_file`"),
            (with(json!({"auth": "token", "token_file": "/t", "role": "x"})), "`role` means nothing"),
            (with(json!({"auth": "token", "token_file": "/t", "mount": "x"})), "`mount` means nothing"),
            (with(json!({"auth": "approle", "role_id": "x"})), "needs `secret_id_file`"),
            (with(json!({"auth": "jwt", "role": "x"})), "needs `public_url`"),
            (with(json!({"auth": "userpass"})), "userpass"),
            (with(json!({"auth": "approle", "role_id": "a b", "secret_id_file": "/s"})), "`role_id`"),
            (
                with(json!({"auth": "approle", "role_id": "a", "secret_id_file": "/s", "mount": "a/../b"})),
                "`mount`",
            ),
            (with(json!({"auth": "token", "token_file": "/t", "key": "x"})), "key"),
        ] {
            let error = read(table.clone(), false).unwrap_err();
            assert!(error.contains(told), "{table}: {error}");
        }
    }
}
