//! Whether this coordinator leads or follows.

use crate::journal::{Address, Leader};

/// Of the coordinators that share a journal, one leads and the others follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It reads what the leader appends, answers what the journal tells, and takes over when the leader is dead.
    Following(Leader),
    /// It decides.
    Leading {
        /// Under this epoch.
        epoch: u64,
    },
}

impl Role {
    /// Whether it leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        matches!(self, Self::Leading { .. })
    }
}

/// How a coordinator stands to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody else can open its journal: it leads at once.
    Alone,
    /// It follows first, and leads when nobody else does.
    Among {
        /// Where it is reached when it leads.
        address: Address,
    },
}
