//! What holds for every engine of the index and of the bytes, as suites: an engine's tests call [`check_index`] or
//! [`check_bytes`] with how to make a place with nothing in it.
//!
//! Each check panics with what it expected, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bytes;
mod index;

use std::path::PathBuf;

pub use self::bytes::{BytesAt, check_bytes};
pub use self::index::{check_cuts, check_index, check_older, check_replaced};
use super::index::{Index, IndexPlace, Sharing};
use crate::journal::postgres::PostgresOptions;

/// Where an index is.
#[derive(Debug, Clone)]
pub enum IndexAt {
    /// In this file.
    File(PathBuf),
    /// In this database.
    Postgres(PostgresOptions),
}

impl IndexAt {
    /// Opens it, as another coordinator does that may be there already.
    async fn open(&self) -> Index {
        let place = match self {
            Self::File(path) => IndexPlace::File(path.clone(), Sharing::Among),
            Self::Postgres(options) => IndexPlace::Postgres(options.clone()),
        };
        Index::open(&place).await.unwrap()
    }
}
