//! The suite of every engine.

use slipway_coordinator::journal::conformance::{self, Factory};
use slipway_coordinator::journal::postgres::PostgresJournal;
use slipway_tests::postgres::PostgresServer;

use crate::support::open;

/// One server; each place is a database of its own.
struct Postgres {
    server: PostgresServer,
    places: u32,
}

impl Postgres {
    fn new() -> Self {
        Self { server: PostgresServer::start(), places: 0 }
    }
}

impl Factory for Postgres {
    type Place = String;
    type Journal = PostgresJournal;
    fn place(&mut self) -> String {
        self.places += 1;
        let name = format!("place_{}", self.places);
        self.server.sql("postgres", &format!("CREATE DATABASE {name} OWNER slipway"));
        self.server.url("sslmode=disable").replace("/slipway?", &format!("/{name}?"))
    }
    fn open(&mut self, place: &String) -> PostgresJournal {
        open(place)
    }
}

#[test]
fn postgres_conforms() {
    conformance::check(&mut Postgres::new());
}

#[test]
fn several_coordinators_on_postgres_conform() {
    conformance::check_shared(&mut Postgres::new());
}
