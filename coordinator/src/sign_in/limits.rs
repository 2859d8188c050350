//! Limits of signing in elsewhere.

use std::time::Duration;

/// How long somebody may take at the provider.
pub(super) const ATTEMPT: Duration = Duration::from_secs(10 * 60);

/// The longest value of the cookie of an attempt that is looked at, in bytes: a path to go on to is most of it.
pub(super) const ATTEMPT_MAX_BYTES: usize = 4_096;

/// How long a provider may take to answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer of a provider, in bytes.
pub(super) const ANSWER_MAX_BYTES: usize = 1 << 20;

/// How long what a provider says of itself, and its keys, are kept.
pub(super) const KEPT: Duration = Duration::from_secs(3_600);

/// The shortest time between two looks at its keys, for tokens that name one which is not known.
pub(super) const KEYS_EVERY: Duration = Duration::from_secs(60);

/// How many people come back from one provider at once: the others are asked to try again.
pub(super) const AT_ONCE: usize = 16;

/// By how much a provider's clock may be ahead or behind.
pub(super) const CLOCKS_APART: Duration = Duration::from_secs(60);

/// The longest identity token, in bytes.
pub(super) const ID_TOKEN_MAX_BYTES: usize = 64 << 10;

/// Pages of a hundred teams or organisations of one person that are looked at.
pub(super) const PAGES_MAX: u32 = 10;

/// The longest text of a provider that is passed on to people, in characters.
pub(super) const TOLD_MAX_CHARS: usize = 300;
