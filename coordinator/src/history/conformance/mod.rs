//! What holds for every engine of the projections, as one suite: an engine's tests call [`check`] with how to make a place and
//! how to open what is there. The journal below is one that the real scheduler wrote; the projector is the real one.
//!
//! Each check panics with what it expected, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod books;
mod sample;

use std::path::Path;

use books::{Books, dump, same};
use sample::Sample;

use super::handle::Counts;
use super::projector::Projector;
use super::sqlite::SqliteTables;
use super::{Committed, Cursor, HistoryError, Statement, Tables};
use crate::journal::{Entry, Journal as _, Mark, Snapshot};

/// How much happens in a sample: some hundreds of entries.
const STEPS: usize = 300;

/// Makes new places, and opens tables in them.
pub trait Factory {
    /// Where tables lie.
    type Place;
    /// A place with nothing in it.
    fn place(&mut self) -> Self::Place;
    /// A new leader of the place's journal; its epoch.
    fn lead(&mut self, place: &Self::Place) -> u64;
    /// Opens the tables there.
    fn open(
        &mut self,
        place: &Self::Place,
    ) -> impl Future<Output = Result<Box<dyn Tables>, HistoryError>> + Send;
}

/// Runs every check, each in places of its own; those with a random journal `seeds` times.
///
/// # Panics
/// When the engine breaks the contract.
pub async fn check<F: Factory>(factory: &mut F, seeds: u64) {
    rows_and_cursor_are_one(factory).await;
    a_replaced_leader_writes_nothing(factory).await;
    what_is_not_ours_is_left_alone(factory).await;
    a_newer_format_is_refused(factory).await;
    an_older_format_is_brought_up(factory).await;
    for seed in 1..=seeds {
        made_again_it_is_the_same(factory, seed).await;
        what_the_journal_forgot_stays(factory, seed).await;
        steps_outlive_their_records(factory, seed).await;
        another_journal_is_noticed(factory, seed).await;
    }
    documented_queries_answer_the_same(factory).await;
}

/// A mark that no journal has to know.
fn mark(position: u64) -> Mark {
    Mark { position, hash: [7; 32] }
}

fn audit(position: u64) -> Statement {
    let texts = ["ada", "http", "run.submit", "x", "done"].map(Into::into);
    Statement::new(super::sql::AUDIT, [&[position.into(), 1u64.into()], &texts[..]].concat())
}

async fn rows_and_cursor_are_one<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let epoch = factory.lead(&place);
    let mut tables = factory.open(&place).await.unwrap();
    assert_eq!(tables.claim(epoch).await.unwrap(), Cursor::BEGINNING);
    let to = Cursor { mark: mark(3), rebuild_to: 9 };
    tables.apply(epoch, Mark::BEGINNING, &[audit(1), audit(2)], to).await.unwrap();
    // The second one breaks off: the first is not there either, and nor is the cursor.
    let wrong = Statement::new("UPDATE audit SET actor = NULL WHERE position = ?1", [1u64.into()]);
    let next = Cursor { mark: mark(4), rebuild_to: 0 };
    let error = tables.apply(epoch, mark(3), &[audit(5), wrong], next).await.unwrap_err();
    assert!(matches!(error, HistoryError::Engine { .. }), "{error}");
    drop(tables);
    let mut tables = factory.open(&place).await.unwrap();
    assert_eq!(tables.claim(epoch).await.unwrap(), to);
    assert_eq!(tables.query("SELECT count(*) FROM audit").await.unwrap(), [[Some("2".to_owned())]]);
    // From another cursor than there is, nothing is written.
    for from in [mark(2), Mark { position: 3, hash: [8; 32] }] {
        let error = tables.apply(epoch, from, &[audit(5)], next).await.unwrap_err();
        assert!(matches!(error, HistoryError::Fenced), "{error}");
    }
    assert_eq!(tables.query("SELECT count(*) FROM audit").await.unwrap(), [[Some("2".to_owned())]]);
    let moment = tables.query("SELECT at_utc FROM audit_utc WHERE position = 1").await.unwrap();
    assert_eq!(moment, [[Some("1970-01-01T00:00:00.001Z".to_owned())]]);
}

async fn a_replaced_leader_writes_nothing<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let old = factory.lead(&place);
    let mut first = factory.open(&place).await.unwrap();
    first.claim(old).await.unwrap();
    let to = |position| Cursor { mark: mark(position), rebuild_to: 0 };
    first.apply(old, Mark::BEGINNING, &[audit(1)], to(1)).await.unwrap();
    let new = factory.lead(&place);
    let mut second = factory.open(&place).await.unwrap();
    assert_eq!(second.claim(new).await.unwrap(), to(1), "the new one goes on where the old one was");
    let error = first.apply(old, mark(1), &[audit(2)], to(2)).await.unwrap_err();
    assert!(matches!(error, HistoryError::Fenced), "{error}");
    second.apply(new, mark(1), &[audit(3)], to(3)).await.unwrap();
    let rows = second.query("SELECT position FROM audit ORDER BY position").await.unwrap();
    assert_eq!(rows, [[Some("1".to_owned())], [Some("3".to_owned())]]);
}

async fn what_is_not_ours_is_left_alone<F: Factory>(factory: &mut F) {
    let place = factory.place();
    factory.lead(&place);
    let mut tables = factory.open(&place).await.unwrap();
    tables.query("UPDATE meta SET application = 'another'").await.unwrap();
    drop(tables);
    let error = factory.open(&place).await.err().unwrap();
    assert!(matches!(error, HistoryError::Foreign { .. }), "{error}");
}

async fn a_newer_format_is_refused<F: Factory>(factory: &mut F) {
    let place = factory.place();
    factory.lead(&place);
    let mut tables = factory.open(&place).await.unwrap();
    tables.query("UPDATE meta SET format = 77").await.unwrap();
    drop(tables);
    let error = factory.open(&place).await.err().unwrap().to_string();
    assert!(error.contains("newer version (format 77, this build reads ≤ "), "{error}");
}

/// Tables of format 1 had no test cases, and those of 2 no reports; all else stays.
async fn an_older_format_is_brought_up<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let epoch = factory.lead(&place);
    let mut tables = factory.open(&place).await.unwrap();
    tables.claim(epoch).await.unwrap();
    let to = Cursor { mark: mark(1), rebuild_to: 0 };
    tables.apply(epoch, Mark::BEGINNING, &[audit(1)], to).await.unwrap();
    tables.query("DROP TABLE tests").await.unwrap();
    tables.query("DROP TABLE reports").await.unwrap();
    tables.query("UPDATE meta SET format = 1").await.unwrap();
    drop(tables);
    let mut tables = factory.open(&place).await.unwrap();
    assert_eq!(tables.claim(epoch).await.unwrap(), to);
    assert_eq!(tables.query("SELECT count(*) FROM tests").await.unwrap(), [[Some("0".to_owned())]]);
    assert_eq!(tables.query("SELECT position FROM audit_utc").await.unwrap(), [[Some("1".to_owned())]]);
    let format = tables.query("SELECT format FROM meta").await.unwrap();
    assert_eq!(format, [[Some(super::FORMAT.to_string())]]);
}

/// Projects all that there is.
async fn catch_up(projector: &mut Projector<Books>) {
    while projector.advance().await.unwrap() {}
}

async fn begin<F: Factory>(factory: &mut F, place: &F::Place, books: &Books) -> Projector<Books> {
    let epoch = factory.lead(place);
    let tables = factory.open(place).await.unwrap();
    Projector::begin(books.clone(), tables, epoch).await.unwrap()
}

/// All rows as a projector writes them that begins with nothing.
async fn anew<F: Factory>(factory: &mut F, books: &Books) -> (Vec<String>, Counts) {
    let place = factory.place();
    let mut projector = begin(factory, &place, books).await;
    catch_up(&mut projector).await;
    let counts = projector.counts().await.unwrap();
    drop(projector);
    (dump(&mut *factory.open(&place).await.unwrap()).await, counts)
}

/// Batch by batch with gaps, repeats and sudden ends, all at once, and once more after a rebuild: the same rows.
async fn made_again_it_is_the_same<F: Factory>(factory: &mut F, seed: u64) {
    let mut sample = Sample::new(seed);
    let books = Books::of(&sample.journal);
    let place = factory.place();
    let mut projector = begin(factory, &place, &books).await;
    while sample.journal.end() < STEPS as u64 {
        let before = sample.journal.head();
        sample.go_on(3);
        let records = sample.journal.read(before.position).unwrap();
        let entry = |record: &crate::journal::Record| Entry {
            time_ms: record.time_ms,
            payload: record.payload.clone(),
        };
        let entries = records.iter().map(entry).collect();
        let batch = Committed { before, after: sample.journal.head(), entries };
        match sample.below(6) {
            // It found no room.
            0 => {}
            1 => {
                projector.take(batch.clone(), || None).await.unwrap();
                projector.take(batch, || None).await.unwrap();
            }
            2 => {
                drop(projector);
                projector = begin(factory, &place, &books).await;
            }
            3 => catch_up(&mut projector).await,
            _ => projector.take(batch, || None).await.unwrap(),
        }
    }
    catch_up(&mut projector).await;
    let head = sample.journal.head();
    assert_eq!(projector.cursor(), Cursor { mark: head, rebuild_to: 0 });
    let counts = projector.counts().await.unwrap();
    assert!(
        counts.runs > 5 && counts.attempts > 10 && counts.steps > 10 && counts.tests > 10,
        "seed {seed}: {counts:?}"
    );
    let grown = dump(&mut *factory.open(&place).await.unwrap()).await;
    same(&anew(factory, &books).await.0, &grown, &format!("seed {seed}, all at once"));
    let mut projector = begin(factory, &place, &books).await;
    assert_eq!(projector.rebuild().await.unwrap(), head.position);
    assert_eq!(projector.cursor().rebuild_to, head.position);
    // Cut off in the middle: the next one goes on.
    projector.advance().await.unwrap();
    drop(projector);
    let mut projector = begin(factory, &place, &books).await;
    catch_up(&mut projector).await;
    assert_eq!(projector.cursor(), Cursor { mark: head, rebuild_to: 0 });
    assert_eq!(projector.counts().await.unwrap(), counts);
    let rebuilt = dump(&mut *factory.open(&place).await.unwrap()).await;
    same(&rebuilt, &grown, &format!("seed {seed}, rebuilt"));
}

async fn what_the_journal_forgot_stays<F: Factory>(factory: &mut F, seed: u64) {
    let mut sample = Sample::new(seed);
    let books = Books::of(&sample.journal);
    sample.go_on(STEPS);
    let place = factory.place();
    let mut projector = begin(factory, &place, &books).await;
    catch_up(&mut projector).await;
    let before = dump(&mut *factory.open(&place).await.unwrap()).await;
    let end = sample.journal.end();
    for position in [end / 2, end] {
        sample.journal.save_snapshot(&Snapshot::pack(position, 1, b"state").unwrap()).unwrap();
    }
    while sample.journal.prune(u64::MAX, u64::MAX).unwrap() > 0 {}
    assert_eq!(sample.journal.anchor().position, end / 2);
    projector.rebuild().await.unwrap();
    catch_up(&mut projector).await;
    let rebuilt = dump(&mut *factory.open(&place).await.unwrap()).await;
    same(&rebuilt, &before, &format!("seed {seed}"));
    // Without any tables there is only what began since.
    let (_, counts) = anew(factory, &books).await;
    let all = projector.counts().await.unwrap();
    assert!(counts.runs > 0 && counts.runs < all.runs, "seed {seed}: {counts:?} of {all:?}");
}

async fn steps_outlive_their_records<F: Factory>(factory: &mut F, seed: u64) {
    let mut sample = Sample::new(seed);
    let books = Books::of(&sample.journal);
    sample.go_on(STEPS);
    let place = factory.place();
    let mut projector = begin(factory, &place, &books).await;
    catch_up(&mut projector).await;
    let (before, counts) =
        (dump(&mut *factory.open(&place).await.unwrap()).await, projector.counts().await.unwrap());
    assert_eq!(counts.attempts_without_steps, 0);
    books.remove_records();
    projector.rebuild().await.unwrap();
    catch_up(&mut projector).await;
    let rebuilt = dump(&mut *factory.open(&place).await.unwrap()).await;
    same(&rebuilt, &before, &format!("seed {seed}"));
    let (_, without) = anew(factory, &books).await;
    assert_eq!((without.attempts, without.steps, without.tests), (counts.attempts, 0, 0));
    assert!(without.attempts_without_steps > 0, "seed {seed}: {without:?}");
}

/// A journal that was cut, or put back to an earlier state, and went on differently.
async fn another_journal_is_noticed<F: Factory>(factory: &mut F, seed: u64) {
    let mut sample = Sample::new(seed);
    sample.go_on(STEPS);
    let place = factory.place();
    let mut projector = begin(factory, &place, &Books::of(&sample.journal)).await;
    catch_up(&mut projector).await;
    drop(projector);
    let middle = sample.journal.end() / 2;
    let shorter = sample.fork(middle, 1_000 + seed);
    let mut other = sample.fork(middle, 2_000 + seed);
    other.go_on(2 * STEPS);
    // It ends before the tables do, and then it is longer, but another one.
    for books in [Books::of(&shorter.journal), Books::of(&other.journal)] {
        let mut projector = begin(factory, &place, &books).await;
        catch_up(&mut projector).await;
        let mut rows = dump(&mut *factory.open(&place).await.unwrap()).await;
        let mut expected = anew(factory, &books).await.0;
        // Agents stay: the journal knows nothing of them.
        for rows in [&mut rows, &mut expected] {
            rows.retain(|row| !row.starts_with("agents"));
        }
        same(&rows, &expected, &format!("seed {seed}"));
    }
}

/// The queries of docs/HISTORY.md, each once.
fn documented_queries() -> Vec<&'static str> {
    let text = include_str!("../../../../docs/HISTORY.md");
    let blocks = text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.trim_start().starts_with("SELECT")).collect()
}

async fn documented_queries_answer_the_same<F: Factory>(factory: &mut F) {
    let mut sample = Sample::new(42);
    sample.go_on(4 * STEPS);
    let books = Books::of(&sample.journal);
    let place = factory.place();
    catch_up(&mut begin(factory, &place, &books).await).await;
    let mut tables = factory.open(&place).await.unwrap();
    let memory = Box::new(SqliteTables::open(Path::new(":memory:")).unwrap());
    let mut reference = Projector::begin(books, memory, 1).await.unwrap();
    catch_up(&mut reference).await;
    let queries = documented_queries();
    assert!(queries.len() >= 8, "{} queries are documented", queries.len());
    for query in queries {
        let found = tables.query(query).await.unwrap_or_else(|error| panic!("{error}\n{query}"));
        assert!(!found.is_empty(), "a query without an answer shows nothing:\n{query}");
        let expected = reference.tables().query(query).await.unwrap();
        assert_eq!(found.len(), expected.len(), "{query}");
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<f64>().ok());
            match (number(found), number(expected)) {
                (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-6, "{query}"),
                _ => assert_eq!(found, expected, "{query}"),
            }
        }
    }
}
