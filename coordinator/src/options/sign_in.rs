//! Where people may sign in besides with a token: `[[sign_in]]` of the configuration file. docs/SIGN_IN.md describes it.
//!
//! All of it is checked when the coordinator starts, but for what the provider itself says: it may be away then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::github::{DEFAULT_API, is_private_address};
use super::{OptionsError, read_secret, wrong};
use crate::access::UserRole;

const TABLE: &str = "[[sign_in]]";

/// Providers beyond this are a mistake.
const PROVIDERS_MAX: usize = 10;

/// Rules for roles of one provider, and names and groups of one rule, beyond this are a mistake.
const RULES_MAX: usize = 100;
/// See [`RULES_MAX`].
const NAMES_MAX: usize = 10_000;

/// The longest text of a setting, in bytes.
const TEXT_MAX_BYTES: usize = 500;

/// The longest name of a provider, in bytes: it stands in addresses.
const NAME_MAX_BYTES: usize = 30;

/// The address of github.com.
const GITHUB: &str = "https://github.com";

/// `[[sign_in]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignInSetting {
    name: String,
    label: Option<String>,
    #[serde(default)]
    kind: Kind,
    issuer: Option<String>,
    url: Option<String>,
    api: Option<String>,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    scopes: Option<Vec<String>>,
    name_claim: Option<String>,
    groups_claim: Option<String>,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default)]
    role: Vec<RoleRule>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Oidc,
    Github,
}

/// Who gets a role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRule {
    /// Which role.
    pub role: UserRole,
    /// People, by the names that they have here.
    #[serde(default)]
    pub users: Vec<String>,
    /// Groups; at GitHub `organisation` or `organisation/team`.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whoever can sign in there.
    #[serde(default)]
    pub everyone: bool,
}

/// A provider's secret; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(pub(crate) String);

impl ClientSecret {
    /// A secret from a file's text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// Where people may sign in; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInProvider {
    /// Stands in addresses.
    pub name: String,
    /// For people.
    pub label: String,
    /// How it is spoken with.
    pub kind: ProviderKind,
    /// What it knows this coordinator by.
    pub client_id: String,
    /// What proves that; none: nothing but that the one who comes back is the one who went.
    pub client_secret: Option<ClientSecret>,
    /// Under which names people are known here whom the provider calls otherwise.
    pub names: BTreeMap<String, String>,
    /// Who gets which role; the highest that fits counts.
    pub roles: Vec<RoleRule>,
}

/// How a provider is spoken with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenID Connect.
    Oidc {
        /// The issuer, exactly as it calls itself.
        issuer: String,
        /// What is asked for.
        scopes: Vec<String>,
        /// Which claim is a person's name.
        name_claim: String,
        /// Which claim is their groups.
        groups_claim: String,
    },
    /// GitHub's OAuth.
    Github {
        /// Where people sign in, without a slash at its end.
        url: String,
        /// Its API, without a slash at its end.
        api: String,
    },
}

/// Checks what the file says. `has_address`: people can be sent back here.
///
/// # Errors
/// The table, the provider, what is wrong with it, and what to write.
pub(super) fn load(
    settings: Vec<SignInSetting>,
    has_address: bool,
) -> Result<Vec<SignInProvider>, OptionsError> {
    if settings.len() > PROVIDERS_MAX {
        return Err(wrong(TABLE, format!("there are more than {PROVIDERS_MAX}")));
    }
    if !settings.is_empty() && !has_address {
        let reason = "needs `public_url`: people come back from the provider to that address";
        return Err(wrong(TABLE, reason));
    }
    let mut seen = BTreeSet::new();
    let mut providers = Vec::new();
    for setting in settings {
        let provider = provider(setting)?;
        if !seen.insert(provider.name.clone()) {
            return Err(wrong(TABLE, format!("there are two of the name `{}`", provider.name)));
        }
        providers.push(provider);
    }
    Ok(providers)
}

fn provider(setting: SignInSetting) -> Result<SignInProvider, OptionsError> {
    let name = setting.name.clone();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(plain) {
        let reason = format!("`name`: `{name}` is none; write 1 to {NAME_MAX_BYTES} of a-z, 0-9 and -");
        return Err(wrong(TABLE, reason));
    }
    let refuse = |reason: String| wrong(TABLE, format!("`{name}`: {reason}"));
    let text = |field: &str, text: String| {
        if text.trim().is_empty() || text.len() > TEXT_MAX_BYTES || text.chars().any(char::is_control) {
            return Err(refuse(format!("`{field}` is no text of 1 to {TEXT_MAX_BYTES} bytes")));
        }
        Ok(text)
    };
    let address = |field: &str, url: String| {
        if !is_private_address(&url) {
            let reason = format!("`{field}`: `{url}` is no https address; write https://HOST");
            return Err(refuse(reason));
        }
        Ok(url)
    };
    let foreign = |fields: &[(&str, bool)], kind: &str| {
        let given = fields.iter().find(|(_, given)| *given);
        given.map_or(Ok(()), |(field, _)| Err(refuse(format!("`{field}` means nothing with kind `{kind}`"))))
    };
    let secret = setting.client_secret_file.as_deref();
    let secret = secret.map(|path| read_secret("client_secret_file", path)).transpose();
    let secret = secret.map_err(|error| refuse(error.to_string()))?.map(ClientSecret);
    let (kind, label) = match setting.kind {
        Kind::Oidc => {
            foreign(&[("url", setting.url.is_some()), ("api", setting.api.is_some())], "oidc")?;
            let issuer = setting.issuer.ok_or_else(|| refuse("needs `issuer`".to_owned()))?;
            let scopes =
                setting.scopes.unwrap_or_else(|| ["openid", "profile", "email"].map(str::to_owned).into());
            let word =
                |scope: &String| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic());
            if !scopes.iter().any(|scope| scope == "openid") || !scopes.iter().all(word) {
                return Err(refuse("`scopes` are words, and `openid` is one of them".to_owned()));
            }
            let claim = |field: &str, given: Option<String>, or: &str| {
                text(field, given.unwrap_or_else(|| or.to_owned()))
            };
            let kind = ProviderKind::Oidc {
                issuer: address("issuer", issuer)?,
                scopes,
                name_claim: claim("name_claim", setting.name_claim, "preferred_username")?,
                groups_claim: claim("groups_claim", setting.groups_claim, "groups")?,
            };
            (kind, name.clone())
        }
        Kind::Github => {
            let fields = [
                ("issuer", setting.issuer.is_some()),
                ("scopes", setting.scopes.is_some()),
                ("name_claim", setting.name_claim.is_some()),
                ("groups_claim", setting.groups_claim.is_some()),
            ];
            foreign(&fields, "github")?;
            if secret.is_none() {
                return Err(refuse("needs `client_secret_file`: GitHub asks for the secret".to_owned()));
            }
            let whole = |field, given: Option<String>, or: &str| {
                let url = address(field, given.unwrap_or_else(|| or.to_owned()))?;
                Ok::<_, OptionsError>(url.trim_end_matches('/').to_owned())
            };
            let url = whole("url", setting.url, GITHUB)?;
            if url != GITHUB && setting.api.is_none() {
                return Err(refuse("needs `api` beside `url`, such as https://HOST/api/v3".to_owned()));
            }
            (ProviderKind::Github { url, api: whole("api", setting.api, DEFAULT_API)? }, "GitHub".to_owned())
        }
    };
    check_rules(&setting.role, &refuse)?;
    if setting.names.len() > NAMES_MAX {
        return Err(refuse(format!("`names` has more than {NAMES_MAX}")));
    }
    Ok(SignInProvider {
        label: text("label", setting.label.unwrap_or(label))?,
        kind,
        client_id: text("client_id", setting.client_id)?,
        client_secret: secret,
        names: setting.names,
        roles: setting.role,
        name: setting.name,
    })
}

fn check_rules(rules: &[RoleRule], refuse: &dyn Fn(String) -> OptionsError) -> Result<(), OptionsError> {
    if rules.is_empty() {
        let reason = "needs a [[sign_in.role]]: without one nobody may do anything";
        return Err(refuse(reason.to_owned()));
    }
    if rules.len() > RULES_MAX {
        return Err(refuse(format!("`role` has more than {RULES_MAX}")));
    }
    for rule in rules {
        let role = rule.role;
        if rule.users.len() > NAMES_MAX || rule.groups.len() > NAMES_MAX {
            return Err(refuse(format!("`role` {role} names more than {NAMES_MAX}")));
        }
        if rule.users.iter().chain(&rule.groups).any(|name| name.trim().is_empty()) {
            return Err(refuse(format!("`role` {role} names somebody without a name")));
        }
        if rule.users.is_empty() && rule.groups.is_empty() && !rule.everyone {
            let reason = format!("`role` {role} is nobody's; give `users`, `groups` or `everyone = true`");
            return Err(refuse(reason));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::super::{Flags, Options};
    use super::*;

    fn load(text: &str) -> Result<Vec<SignInProvider>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(folder.path().join("secret"), "hush\n").unwrap();
        let text = text.replace("SECRET", &folder.path().join("secret").display().to_string());
        std::fs::write(&path, text).unwrap();
        let flags = Flags { config: Some(path), data_dir: Some("/data".into()), ..Flags::default() };
        Options::load(flags).map(|options| options.sign_in).map_err(|error| error.to_string())
    }

    const OIDC: &str = "public_url = 'https://ci.example.com'\n[[sign_in]]\nname = 'sso'\nissuer = 'https://sso.example.com/realm/'\nclient_id = 'slipway'\n";
    const ROLE: &str = "[[sign_in.role]]\nrole = 'viewer'\neveryone = true\n";

    #[test]
    fn providers_have_defaults_and_the_secret_does_not_show() {
        let both = format!(
            "{OIDC}client_secret_file = 'SECRET'\n[sign_in.names]\n'a@b' = 'ada'\n{ROLE}\
             [[sign_in]]\nname = 'github'\nkind = 'github'\nclient_id = 'i'\nclient_secret_file = 'SECRET'\n{ROLE}"
        );
        let found = load(&both).unwrap();
        let ProviderKind::Oidc { issuer, scopes, name_claim, groups_claim } = &found[0].kind else {
            panic!("{:?}", found[0].kind)
        };
        // An issuer is compared byte by byte: its slash stays.
        assert_eq!(issuer, "https://sso.example.com/realm/");
        assert_eq!(scopes, &["openid", "profile", "email"]);
        assert_eq!((name_claim.as_str(), groups_claim.as_str()), ("preferred_username", "groups"));
        assert_eq!(found[0].client_secret, Some(ClientSecret("hush".into())));
        assert_eq!((found[0].label.as_str(), found[1].label.as_str()), ("sso", "GitHub"));
        let github = ProviderKind::Github { url: GITHUB.into(), api: DEFAULT_API.into() };
        assert_eq!(found[1].kind, github);
        assert!(!format!("{found:?}").contains("hush"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_provider() {
        let github = "public_url = 'https://c'\n[[sign_in]]\nname = 'g'\nkind = 'github'\nclient_id = 'i'\n";
        let cases = [
            (OIDC.to_owned(), "`sso`: needs a [[sign_in.role]]"),
            (
                OIDC.replace("public_url = 'https://ci.example.com'", "http = '0.0.0.0:8080'") + ROLE,
                "needs `public_url`",
            ),
            (OIDC.replace("'sso'", "'S S O'") + ROLE, "`name`: `S S O`"),
            (OIDC.replace("https://sso", "http://sso") + ROLE, "no https address"),
            (OIDC.replace("issuer", "url") + ROLE, "`url` means nothing with kind `oidc`"),
            (OIDC.replace("client_id = 'slipway'", "client_id = ''") + ROLE, "`client_id`"),
            (format!("{OIDC}scopes = ['profile']\n{ROLE}"), "`scopes`"),
            (format!("{OIDC}client_secret_file = '/none'\n{ROLE}"), "/none"),
            (format!("{OIDC}[[sign_in.role]]\nrole = 'admin'\n"), "`role` admin is nobody's"),
            (format!("{OIDC}[[sign_in.role]]\nrole = 'admin'\nusers = [' ']\n"), "without a name"),
            (format!("{OIDC}[[sign_in.role]]\nrole = 'boss'\neveryone = true\n"), "boss"),
            (
                format!("{OIDC}{ROLE}{}", OIDC.split_once('\n').unwrap().1.to_owned() + ROLE),
                "two of the name",
            ),
            (format!("{github}{ROLE}"), "needs `client_secret_file`"),
            (format!("{github}issuer = 'https://x'\n{ROLE}"), "`issuer` means nothing with kind `github`"),
            (
                format!("{github}client_secret_file = 'SECRET'\nurl = 'https://ghe.example'\n{ROLE}"),
                "needs `api` beside `url`",
            ),
        ];
        for (text, part) in cases {
            let error = load(&text).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
