//! A provider's public keys (RFC 7517), and what they verify: with ring, and the algorithms of RFC 7518 that sign with a private key. `none`
//! and those with a shared secret are not among them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;

/// Keys of one provider.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

/// One of them; what is not of its kind is missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// What an algorithm wants of a key.
enum Needs {
    Rsa(&'static RsaParameters),
    Curve(&'static str, &'static dyn VerificationAlgorithm),
    Edwards,
}

fn needs(algorithm: &str) -> Option<Needs> {
    Some(match algorithm {
        "RS256" => Needs::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Needs::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Needs::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        "PS256" => Needs::Rsa(&RSA_PSS_2048_8192_SHA256),
        "PS384" => Needs::Rsa(&RSA_PSS_2048_8192_SHA384),
        "PS512" => Needs::Rsa(&RSA_PSS_2048_8192_SHA512),
        "ES256" => Needs::Curve("P-256", &ECDSA_P256_SHA256_FIXED),
        "ES384" => Needs::Curve("P-384", &ECDSA_P384_SHA384_FIXED),
        "EdDSA" => Needs::Edwards,
        _ => return None,
    })
}

/// Whether a signature by this algorithm can be verified.
pub(super) fn is_known(algorithm: &str) -> bool {
    needs(algorithm).is_some()
}

impl Keys {
    /// Keys that may have signed by this algorithm; `id`: which of them, if the token says it.
    fn fitting<'a>(&'a self, algorithm: &'a str, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| {
            key.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
                && key.alg.as_deref().is_none_or(|known| known == algorithm)
                && id.is_none_or(|id| key.kid.as_deref() == Some(id))
        })
    }

    /// Whether there is one that may have signed.
    pub(super) fn have(&self, algorithm: &str, id: Option<&str>) -> bool {
        self.fitting(algorithm, id).next().is_some()
    }

    /// Whether one of them signed the text.
    pub(super) fn signed(&self, algorithm: &str, id: Option<&str>, text: &[u8], signature: &[u8]) -> bool {
        self.fitting(algorithm, id).any(|key| key.signed(algorithm, text, signature) == Some(true))
    }
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

impl Key {
    /// `None`: it is of another kind, or damaged.
    fn signed(&self, algorithm: &str, text: &[u8], signature: &[u8]) -> Option<bool> {
        let curve = self.crv.as_deref();
        let verified = match needs(algorithm)? {
            Needs::Rsa(parameters) if self.kty == "RSA" => {
                let (n, e) = (bytes(self.n.as_ref())?, bytes(self.e.as_ref())?);
                RsaPublicKeyComponents { n, e }.verify(parameters, text, signature)
            }
            Needs::Curve(name, algorithm) if self.kty == "EC" && curve == Some(name) => {
                // An uncompressed point (SEC 1, section 2.3.3).
                let point = [vec![4], bytes(self.x.as_ref())?, bytes(self.y.as_ref())?].concat();
                UnparsedPublicKey::new(algorithm, point).verify(text, signature)
            }
            Needs::Edwards if self.kty == "OKP" && curve == Some("Ed25519") => {
                UnparsedPublicKey::new(&ED25519, bytes(self.x.as_ref())?).verify(text, signature)
            }
            _ => return None,
        };
        Some(verified.is_ok())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // RFC 8037, appendix A.4, and RFC 7515, appendices A.2 and A.3.
    const EDWARDS: (&str, &str, &str) = (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    const CURVE: (&str, &str, &str) = (
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    const RSA: (&str, &str, &str) = (
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );

    fn keys(key: &str) -> Keys {
        serde_json::from_str(&format!(r#"{{"keys":[{{"kty":"oct","k":"x"}},{key}]}}"#)).unwrap()
    }

    #[test]
    fn the_examples_of_the_rfcs_verify_and_nothing_else_does() {
        for (algorithm, (key, text, signature)) in [("EdDSA", EDWARDS), ("ES256", CURVE), ("RS256", RSA)] {
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let found = keys(key);
            assert!(found.signed(algorithm, None, text.as_bytes(), &signature), "{algorithm}");
            assert!(!found.signed(algorithm, None, &text.as_bytes()[1..], &signature));
            assert!(!found.signed(algorithm, None, text.as_bytes(), &signature[1..]));
            assert!(!found.signed(algorithm, Some("other"), text.as_bytes(), &signature));
            for other in ["none", "HS256", "PS256", "ES384", ""] {
                assert!(!found.signed(other, None, text.as_bytes(), &signature), "{algorithm} as {other}");
            }
            let named = key.replacen('{', r#"{"kid":"1","use":"sig","#, 1);
            assert!(keys(&named).signed(algorithm, Some("1"), text.as_bytes(), &signature));
            for (before, after) in
                [(r#""use":"sig""#, r#""use":"enc""#), ("\"kid\"", "\"alg\":\"X\",\"kid\"")]
            {
                let unfit = keys(&named.replace(before, after));
                assert!(!unfit.have(algorithm, Some("1")), "{after}");
                assert!(!unfit.signed(algorithm, Some("1"), text.as_bytes(), &signature), "{after}");
            }
        }
    }
}
