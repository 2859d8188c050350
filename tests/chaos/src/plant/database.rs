//! PostgreSQL with a synchronous stand-by, either of which may be the primary.

use std::path::Path;

use slipway_tests::postgres::PostgresServer;
use slipway_tests::{free_port, wait_until};

use super::disk::Disk;

/// Room for a server; while a stand-by is made anew, the one before is still there.
const MEBIBYTES: u32 = 512;

/// What the primary calls its stand-by.
const STAND_BY: &str = "second";

pub(crate) struct Database {
    primary: PostgresServer,
    stand_by: PostgresServer,
    url: String,
    disks: [Disk; 2],
    /// Whether the primary is on the first disk.
    first: bool,
}

impl Database {
    pub(super) fn start(folder: &Path) -> Self {
        let disks = ["database-0", "database-1"].map(|name| Disk::mount(folder.join(name), MEBIBYTES));
        let primary = PostgresServer::start_in(disks[0].path());
        let stand_by = primary.stand_by_in(disks[1].path(), STAND_BY, free_port());
        let one = format!("127.0.0.1:{}", primary.port());
        let both = format!("{one},127.0.0.1:{}", stand_by.port());
        let url = primary.url("sslmode=disable").replacen(&one, &both, 1);
        let database = Self { primary, stand_by, url, disks, first: true };
        database.make_synchronous();
        database
    }

    /// The journal's place, on whichever of the two is the primary.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The primary's disk.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disks[usize::from(!self.first)]
    }

    /// Whoever of the two gave up starts again.
    pub(crate) fn revive(&mut self) {
        for server in [&mut self.primary, &mut self.stand_by] {
            if !server.alive() {
                server.resume();
            }
        }
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
        let stand_by = self.stand_by.stand_by_in(self.disk().path(), STAND_BY, self.primary.port());
        self.first = !self.first;
        let old = std::mem::replace(&mut self.stand_by, stand_by);
        self.primary = old;
        self.make_synchronous();
    }
}
