//! PostgreSQL with a synchronous stand-by, either of which may be the primary.

use slipway_tests::postgres::PostgresServer;
use slipway_tests::{free_port, wait_until};

/// What the primary calls its stand-by.
const STAND_BY: &str = "second";

pub(crate) struct Database {
    primary: PostgresServer,
    stand_by: PostgresServer,
    url: String,
}

impl Database {
    pub(crate) fn start() -> Self {
        let primary = PostgresServer::start();
        let stand_by = primary.stand_by_on(STAND_BY, free_port());
        let one = format!("127.0.0.1:{}", primary.port());
        let both = format!("{one},127.0.0.1:{}", stand_by.port());
        let url = primary.url("sslmode=disable").replacen(&one, &both, 1);
        let database = Self { primary, stand_by, url };
        database.make_synchronous();
        database
    }

    /// The journal's place, on whichever of the two is the primary.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn make_synchronous(&self) {
        self.primary.set("synchronous_standby_names", STAND_BY);
        wait_until("the stand-by is synchronous", || {
            let query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            (self.primary.sql("postgres", query) == "1").then_some(())
        });
    }

    /// All processes of the primary die at once, and it starts again.
    pub(crate) fn crash(&mut self) {
        self.primary.kill();
        self.primary.resume();
    }

    /// The primary dies for good and the stand-by takes its place. [`Database::mend`] makes a new stand-by.
    pub(crate) fn fail_over(&mut self) {
        self.primary.kill();
        // A stand-by is a copy: it would wait for one of its own before it acknowledges anything.
        self.stand_by.set("synchronous_standby_names", "");
        self.stand_by.promote();
    }

    /// A new stand-by where the primary was that died.
    pub(crate) fn mend(&mut self) {
        let stand_by = self.stand_by.stand_by_on(STAND_BY, self.primary.port());
        let old = std::mem::replace(&mut self.stand_by, stand_by);
        self.primary = old;
        self.make_synchronous();
    }
}
