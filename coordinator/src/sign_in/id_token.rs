//! Whether an identity token is for this attempt (OpenID Connect Core, section 3.1.3.7).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::keys::{Keys, is_known};
use super::limits::{CLOCKS_APART, ID_TOKEN_MAX_BYTES};

/// A token that was taken apart, and not verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    pub(super) header: Header,
    claims: Map<String, Json>,
}

/// What a token's header says, as far as it is heeded: no key of its own, and no address of one.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    /// Extensions that have to be understood; none is.
    crit: Option<Json>,
}

/// What a token has to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now_s: u64,
}

/// Takes a token apart.
///
/// # Errors
/// It is none, or signed in a way that cannot be verified.
pub(super) fn parse(token: &str) -> Result<Unverified<'_>, String> {
    let none = || "its identity token is none".to_owned();
    if token.len() > ID_TOKEN_MAX_BYTES {
        return Err("its identity token is too long".to_owned());
    }
    let (signed, signature) = token.rsplit_once('.').ok_or_else(none)?;
    let (header, claims) = signed.split_once('.').ok_or_else(none)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| none());
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| none())?;
    if header.crit.is_some() || !is_known(&header.alg) {
        return Err(format!("its identity token is signed as {:?}, which is not verified here", header.alg));
    }
    let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| none())?;
    Ok(Unverified { signed, signature: decode(signature)?, header, claims })
}

impl Unverified<'_> {
    /// The claims of a token that is for this attempt.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn verify(self, keys: &Keys, expected: Expected<'_>) -> Result<Map<String, Json>, String> {
        let Header { alg, kid, .. } = &self.header;
        if !keys.signed(alg, kid.as_deref(), self.signed.as_bytes(), &self.signature) {
            return Err("none of its keys signed its identity token".to_owned());
        }
        let claims = self.claims;
        let is = |name: &str, value: &str| claims.get(name).and_then(Json::as_str) == Some(value);
        if !is("iss", expected.issuer) {
            return Err("its identity token is another issuer's".to_owned());
        }
        let client = |value: &Json| value.as_str() == Some(expected.client_id);
        let (is_for_us, among_others) = match claims.get("aud") {
            Some(Json::Array(audiences)) => (audiences.iter().any(client), audiences.len() > 1),
            Some(audience) => (client(audience), false),
            None => (false, false),
        };
        // Whoever a token for several was issued to may pass it on.
        let issued_to = claims.get("azp").map(client);
        if !is_for_us || !issued_to.unwrap_or(!among_others) {
            return Err("its identity token is for somebody else".to_owned());
        }
        if !is("nonce", expected.nonce) {
            return Err("its identity token is of another sign-in".to_owned());
        }
        let seconds = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => {
                let given = value.as_f64().filter(|given| *given >= 0.0);
                given.map(Some).ok_or_else(|| format!("`{name}` of its identity token is no time"))
            }
        };
        #[allow(clippy::cast_precision_loss)] // Seconds are far below 2^53.
        let (now, apart) = (expected.now_s as f64, CLOCKS_APART.as_secs_f64());
        let ends = seconds("exp")?.ok_or_else(|| "its identity token has no end".to_owned())?;
        if now >= ends + apart {
            return Err("its identity token has ended; are the clocks right?".to_owned());
        }
        for name in ["nbf", "iat"] {
            if seconds(name)?.is_some_and(|begins| begins > now + apart) {
                return Err("its identity token is of the future; are the clocks right?".to_owned());
            }
        }
        Ok(claims)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'_> =
        Expected { issuer: "https://sso", client_id: "slipway", nonce: "n", now_s: 1_000 };

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn keys(pair: &Ed25519KeyPair) -> Keys {
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        serde_json::from_value(json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]}))
            .unwrap()
    }

    fn token(pair: &Ed25519KeyPair, header: &Json, claims: &Json) -> String {
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn check(header: &Json, claims: &Json) -> Result<Map<String, Json>, String> {
        let pair = pair();
        let token = token(&pair, header, claims);
        parse(&token)?.verify(&keys(&pair), EXPECTED)
    }

    fn good() -> Json {
        json!({"iss": "https://sso", "aud": "slipway", "nonce": "n", "sub": "1", "exp": 1_100, "iat": 1_000})
    }

    #[test]
    fn a_token_for_this_attempt_is_taken() {
        let header = json!({"alg": "EdDSA", "kid": "1"});
        assert_eq!(check(&header, &good()).unwrap()["sub"], "1");
        assert!(check(&json!({"alg": "EdDSA"}), &good()).is_ok(), "one key needs no id");
        for (name, value) in [
            ("aud", json!(["slipway"])),
            ("aud", json!(["slipway", "other"])),
            ("exp", json!(941)),
            ("iat", json!(1_060)),
        ] {
            let mut claims = good();
            claims[name] = value;
            claims["azp"] = json!("slipway");
            assert!(check(&header, &claims).is_ok(), "{claims}");
        }
    }

    #[test]
    fn a_token_that_is_not_is_refused() {
        let header = json!({"alg": "EdDSA", "kid": "1"});
        let claims = |change: &dyn Fn(&mut Json)| {
            let mut claims = good();
            change(&mut claims);
            claims
        };
        let with = |name: &'static str, value: Json| claims(&|claims| claims[name] = value.clone());
        let without =
            |name: &'static str| claims(&|claims| drop(claims.as_object_mut().unwrap().remove(name)));
        let cases = [
            (with("iss", json!("https://sso/")), "another issuer"),
            (without("iss"), "another issuer"),
            (with("aud", json!("other")), "somebody else"),
            (with("aud", json!(["slipway", "other"])), "somebody else"),
            (with("azp", json!("other")), "somebody else"),
            (with("aud", json!({"slipway": 1})), "somebody else"),
            (without("aud"), "somebody else"),
            (with("nonce", json!("m")), "another sign-in"),
            (without("nonce"), "another sign-in"),
            (with("exp", json!(940)), "has ended"),
            (with("exp", json!("1100")), "`exp`"),
            (with("exp", json!(-1)), "`exp`"),
            (without("exp"), "no end"),
            (with("iat", json!(1_061)), "of the future"),
            (with("nbf", json!(2_000)), "of the future"),
            (with("nbf", json!("soon")), "`nbf`"),
        ];
        for (claims, part) in cases {
            let error = check(&header, &claims).unwrap_err();
            assert!(error.contains(part), "{claims}: {error}");
        }
        for (header, part) in [
            (json!({"alg": "none"}), "signed as \"none\""),
            (json!({"alg": "HS256", "kid": "1"}), "signed as \"HS256\""),
            (json!({"alg": "EdDSA", "kid": "2"}), "none of its keys"),
            (json!({"alg": "EdDSA", "crit": ["b64"], "b64": false}), "not verified here"),
            (json!({}), "is none"),
        ] {
            let error = check(&header, &good()).unwrap_err();
            assert!(error.contains(part), "{header}: {error}");
        }
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let forged = token(&other, &header, &good());
        assert!(parse(&forged).unwrap().verify(&keys(&pair()), EXPECTED).is_err());
        for no_token in ["", "a", "a.b", "a.b.c", "e30.e30.", &format!("{}.e30.", "a".repeat(100_000))] {
            assert!(parse(no_token).is_err(), "{no_token:.20}");
        }
    }
}
