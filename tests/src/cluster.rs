//! Several coordinators on one PostgreSQL journal.

use tempfile::TempDir;

use crate::postgres::PostgresServer;
use crate::{Coordinator, wait_until};

/// What they have in common: the key and the objects; and they themselves, the leader first.
pub struct Cluster {
    /// The coordinators. The first one leads at the beginning.
    pub coordinators: Vec<Coordinator>,
    _common: TempDir,
}

impl Cluster {
    /// Starts this many on the journal at this URL.
    ///
    /// # Panics
    /// When one of them does not start, or nobody leads.
    #[must_use]
    pub fn start(journal: &str, count: usize) -> Self {
        Self::start_with(journal, count, &[], &[])
    }

    /// The same with more arguments and variables for each.
    ///
    /// # Panics
    /// Likewise.
    #[must_use]
    pub fn start_with(journal: &str, count: usize, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let common = tempfile::Builder::new().prefix("slipway-cluster-").tempdir().unwrap();
        let key = common.path().join("cluster.key");
        std::fs::write(&key, "7a".repeat(32)).unwrap();
        let objects = format!("file://{}", common.path().join("objects").display());
        let arguments = [
            "--journal",
            journal,
            "--objects",
            &objects,
            "--objects-shared",
            "--cluster-key-file",
            key.to_str().unwrap(),
        ];
        let arguments = [&arguments, more].concat();
        let mut coordinators = Vec::with_capacity(count);
        for _ in 0..count {
            let coordinator = Coordinator::start_with_variables(&arguments, variables);
            let expected = if coordinators.is_empty() { "ready" } else { "ready, follows" };
            wait_until("the first leads and the others follow", || {
                (coordinator.ready() == expected).then_some(())
            });
            coordinators.push(coordinator);
        }
        Self { coordinators, _common: common }
    }

    /// With a journal on one server.
    #[must_use]
    pub fn on(server: &PostgresServer, count: usize) -> Self {
        Self::start(&server.url("sslmode=disable"), count)
    }

    /// Waits until this coordinator leads.
    pub fn wait_until_leads(&self, number: usize) {
        wait_until("it leads", || (self.coordinators[number].ready() == "ready").then_some(()));
    }
}
