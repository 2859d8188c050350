//! Who is signed in: a signed cookie, and nothing that is kept.
//!
//! It names the token that it was begun with, and is good for as long as that one is. Its key follows from the coordinator's keys and its admin token. So it is good after a restart and at every other
//! coordinator of a cluster, and worthless as soon as the token is another one. It opens pages only: `/api/v1` never
//! looks at cookies.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::limits::SESSION;
use crate::access::UserRole;
use crate::key::SigningKey;
use crate::token::Token;

/// The cookie's name.
pub(super) const COOKIE: &str = "slipway_session";

/// Longest value of the cookie that is looked at, in bytes.
const COOKIE_MAX_BYTES: usize = 256;

/// Makes and knows sessions.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    cookies: SigningKey,
    forms: SigningKey,
}

/// Who the administrator is, in a cookie.
const ADMINISTRATOR: &str = "admin";

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// What the cookie says and signs: until when, a random word, and the id of a token.
    said: String,
    /// The token that it was begun with; none: the admin token.
    pub(super) token: Option<String>,
    /// What each form of this session carries.
    pub(super) form_token: String,
    /// What it may do, as of this request; [`super::gate`] knows.
    pub(super) role: UserRole,
    /// The name that its token vouches for.
    pub(super) name: Option<String>,
}

impl Sessions {
    pub(crate) fn new(key: &SigningKey, admin: &Token) -> Self {
        let key = key.derive("sessions of pages").derive(admin.reveal());
        Self { cookies: key.derive("cookie"), forms: key.derive("form") }
    }

    fn session(&self, said: String) -> Session {
        let form_token = URL_SAFE_NO_PAD.encode(self.forms.sign(said.as_bytes()));
        let token = said.rsplit_once('.').map(|(_, who)| who.to_owned());
        let token = token.filter(|who| who != ADMINISTRATOR);
        Session { said, token, form_token, role: UserRole::Viewer, name: None }
    }

    /// A new session from now on, of whoever has the token of this id; none: the admin token.
    pub(super) fn begin(&self, token: Option<&str>, now_ms: u64) -> Session {
        let who = token.unwrap_or(ADMINISTRATOR);
        let until_s = (now_ms / 1_000).saturating_add(SESSION.as_secs());
        self.session(format!("{until_s}.{}.{who}", uuid::Uuid::new_v4().simple()))
    }

    /// The session that one of a request's cookies proves.
    pub(super) fn of(&self, headers: &HeaderMap, now_ms: u64) -> Option<Session> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE && value.len() <= COOKIE_MAX_BYTES).then_some(value)
        });
        values.find_map(|value| self.read(value, now_ms))
    }

    fn read(&self, value: &str, now_ms: u64) -> Option<Session> {
        let (said, signature) = value.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.cookies.is_signed(said.as_bytes(), &signature) {
            return None;
        }
        // One of an earlier version names nobody.
        let [until_s, _, _] = said.split('.').collect::<Vec<_>>()[..] else { return None };
        let until_s: u64 = until_s.parse().ok()?;
        (now_ms / 1_000 < until_s).then(|| self.session(said.to_owned()))
    }

    /// The `set-cookie` of a session. `secure`: the browser came over https.
    pub(super) fn cookie(&self, session: &Session, secure: bool) -> String {
        let signature = URL_SAFE_NO_PAD.encode(self.cookies.sign(session.said.as_bytes()));
        set_cookie(&format!("{}.{signature}", session.said), SESSION.as_secs(), secure)
    }

    /// The `set-cookie` that ends a session.
    pub(super) fn end(secure: bool) -> String {
        set_cookie("", 0, secure)
    }
}

impl Session {
    /// Whether whoever has it may do what needs this role. What they may not do is not offered.
    pub(super) fn may(&self, role: UserRole) -> bool {
        self.role >= role
    }

    /// Whether a form was made for this session.
    pub(super) fn made(&self, form_token: &str) -> bool {
        bool::from(form_token.as_bytes().ct_eq(self.form_token.as_bytes()))
    }
}

fn set_cookie(value: &str, for_s: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={for_s}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether the browser speaks https, as the proxy before this coordinator says. Who lies about it gets a stricter cookie.
pub(super) fn is_secure(headers: &HeaderMap) -> bool {
    let said = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        let folder = tempfile::tempdir().unwrap();
        SigningKey::load_or_create(&folder.path().join("key")).unwrap()
    }

    fn with_cookie(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, value.parse().unwrap());
        headers
    }

    fn pair(cookie: &str) -> String {
        cookie.split_once(';').unwrap().0.to_owned()
    }

    #[test]
    fn a_session_is_known_after_a_restart_until_it_runs_out() {
        let (key, admin) = (key(), Token::random());
        let sessions = Sessions::new(&key, &admin);
        let session = sessions.begin(None, 5_000);
        let cookie = sessions.cookie(&session, false);
        assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(sessions.cookie(&session, true).ends_with("; Secure"));
        let again = Sessions::new(&key, &admin);
        let end_ms = 5_000 + 12 * 3_600_000;
        for headers in [pair(&cookie), format!("a=b; {COOKIE}=x.y.z; {}", pair(&cookie))] {
            assert_eq!(again.of(&with_cookie(&headers), end_ms - 1), Some(session.clone()), "{headers}");
            assert_eq!(again.of(&with_cookie(&headers), end_ms), None);
        }
        let holder = sessions.begin(Some("0123456789ab"), 5_000);
        assert_eq!(holder.token.as_deref(), Some("0123456789ab"));
        assert_eq!(session.token, None);
        assert_eq!(sessions.of(&with_cookie(&pair(&sessions.cookie(&holder, false))), 5_000), Some(holder));
        assert!(session.made(&session.form_token));
        assert!(!session.made("") && !session.made(&sessions.begin(None, 5_000).form_token));
    }

    #[test]
    fn what_is_not_signed_by_us_is_no_session() {
        let (key, admin) = (key(), Token::random());
        let sessions = Sessions::new(&key, &admin);
        let value = pair(&sessions.cookie(&sessions.begin(None, 0), false));
        let later = value.replacen("43200.", "99999.", 1);
        let other = |sessions: &Sessions| pair(&sessions.cookie(&sessions.begin(None, 0), false));
        for wrong in [
            "".to_owned(),
            format!("{COOKIE}="),
            format!("{COOKIE}=.."),
            later,
            value[..value.len() - 1].to_owned(),
            value.replacen(COOKIE, "slipway", 1),
            format!("{COOKIE}={}", "a".repeat(10_000)),
            other(&Sessions::new(&key, &Token::random())),
            other(&Sessions::new(&self::key(), &admin)),
        ] {
            assert_eq!(sessions.of(&with_cookie(&wrong), 0), None, "{wrong}");
        }
        assert_eq!(sessions.of(&HeaderMap::new(), 0), None);
        // A form's token is no cookie.
        let session = sessions.begin(None, 0);
        let mixed = format!("{COOKIE}={}.{}", session.said, session.form_token);
        assert_eq!(sessions.of(&with_cookie(&mixed), 0), None);
    }

    #[test]
    fn https_is_what_the_first_proxy_saw() {
        let said = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-proto", text.parse().unwrap());
            is_secure(&headers)
        };
        assert!(said("https") && said("HTTPS, http"));
        assert!(!said("http") && !said("http, https") && !said("") && !is_secure(&HeaderMap::new()));
    }
}
