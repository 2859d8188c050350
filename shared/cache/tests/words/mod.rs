//! A gate for tests: tokens that say what they allow.

use std::sync::Arc;

use slipway_cache::{Access, Admitted, Asking, Gate, Refusal, Scope};
use slipway_cas::cache::Namespace;

/// Tokens are `<scope>`, `<scope>:ro` for one that only reads, and `<scope>+<other>` for one that reads another scope too. The
/// instance `forbidden` is nobody's.
pub(crate) struct Words;

fn scope(name: &str) -> Result<Scope, Refusal> {
    let place =
        Namespace::new(name).map_err(|_| Refusal::Unauthenticated(format!("`{name}` is no token")))?;
    Ok(Scope { blobs: place.clone(), entries: place })
}

impl Gate for Words {
    fn admit<'a>(&'a self, asking: Asking<'a>) -> Admitted<'a> {
        Box::pin(std::future::ready(admit(asking)))
    }
}

fn admit(asking: Asking<'_>) -> Result<Access, Refusal> {
    let word = asking.authorization.and_then(|header| header.strip_prefix("Bearer "));
    let word = word.ok_or_else(|| Refusal::Unauthenticated("show a token".to_owned()))?;
    if asking.instance == "forbidden" {
        return Err(Refusal::Forbidden("not that one".to_owned()));
    }
    let (word, writes) = word.strip_suffix(":ro").map_or((word, true), |word| (word, false));
    let read = word.split('+').map(scope).collect::<Result<Vec<_>, _>>()?;
    let write = writes.then(|| read[0].clone());
    Ok(Access { read, write, account: Arc::default() })
}
