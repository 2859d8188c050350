//! The tokens that are good, published by the driver for those who check calls without asking it.
//!
//! Like the table of leases it changes only after the events are durable, before anybody is told.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use slipway_scheduler::Timestamp;

use super::AccessToken;
use crate::house::House;

/// Tokens by the SHA-256 of their texts and by their ids.
#[derive(Debug, Default)]
pub struct AccessTable {
    tokens: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_sha256: HashMap<String, Arc<AccessToken>>,
    by_id: HashMap<String, Arc<AccessToken>>,
}

impl AccessTable {
    /// The token with this text.
    #[must_use]
    pub fn of_text(&self, text: &str, now: Timestamp) -> Option<AccessToken> {
        let sha256 = crate::token::sha256(text);
        let known = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        known.by_sha256.get(&sha256).filter(|token| token.expires_at > now).map(|token| (**token).clone())
    }

    /// The token of this id.
    #[must_use]
    pub fn of_id(&self, id: &str, now: Timestamp) -> Option<AccessToken> {
        let known = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        known.by_id.get(id).filter(|token| token.expires_at > now).map(|token| (**token).clone())
    }

    pub(crate) fn replace(&self, house: &House) {
        let mut known = Known::default();
        for token in house.access_tokens() {
            known.insert(token.clone());
        }
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    pub(crate) fn insert(&self, token: AccessToken) {
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(token);
    }

    pub(crate) fn remove(&self, id: &str) {
        let mut known = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = known.by_id.remove(id) {
            known.by_sha256.remove(&token.sha256);
        }
    }
}

impl Known {
    fn insert(&mut self, token: AccessToken) {
        let token = Arc::new(token);
        self.by_sha256.insert(token.sha256.clone(), Arc::clone(&token));
        self.by_id.insert(token.id.clone(), token);
    }
}
