#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::conformance::{self, Factory};
use super::sqlite::SqliteTables;
use super::{HistoryError, Tables};

/// Files in a folder.
struct Sqlite {
    folder: tempfile::TempDir,
    places: u32,
    epoch: u64,
}

impl Factory for Sqlite {
    type Place = PathBuf;
    fn place(&mut self) -> PathBuf {
        self.places += 1;
        self.folder.path().join(format!("{}.db", self.places))
    }
    fn lead(&mut self, _place: &PathBuf) -> u64 {
        self.epoch += 1;
        self.epoch
    }
    async fn open(&mut self, place: &PathBuf) -> Result<Box<dyn Tables>, HistoryError> {
        Ok(Box::new(SqliteTables::open(place)?))
    }
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::check(&mut Sqlite { folder, places: 0, epoch: 0 }, 5).await;
}

#[test]
fn what_is_no_database_of_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    std::fs::write(&path, "hello, I am a text file and no database at all\n".repeat(100)).unwrap();
    let error = SqliteTables::open(&path).unwrap_err().to_string();
    assert!(error.contains("history.db is not Slipway's"), "{error}");
}

/// Every column stands in docs/HISTORY.md under its table, and nothing else does.
#[tokio::test]
async fn every_column_is_documented() {
    let text = include_str!("../../../docs/HISTORY.md");
    let mut tables = SqliteTables::open(std::path::Path::new(":memory:")).unwrap();
    for table in ["runs", "jobs", "attempts", "steps", "tests", "reports", "usage", "audit", "agents"] {
        let part = text.split(&format!("### `{table}`\n")).nth(1).unwrap();
        let part = part.split("\n### ").next().unwrap().split("\n## ").next().unwrap();
        let documented: Vec<&str> = part
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .collect();
        let query = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns: Vec<String> =
            tables.query(&query).await.unwrap().into_iter().flatten().flatten().collect();
        assert_eq!(documented, columns, "{table}");
    }
}
