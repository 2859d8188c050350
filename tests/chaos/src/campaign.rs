//! One campaign, from its first blow to its verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::borrower::Borrower;
use crate::clerk::Clerk;
use crate::fault::Fault;
use crate::plant::Plant;
use crate::shape::Shape;
use crate::verdict::Verdict;
use crate::workload::Executions;
use crate::{report, strike};

/// The longest pause between two blows: sometimes everything has recovered, sometimes nothing.
const PAUSE_MS_MAX: u64 = 2_000;

/// Every so many blows all is left alone until it is whole again: else what is broken for good would show at the end alone.
const WHOLE_EVERY: usize = 10;

/// What a campaign does.
pub(crate) struct Campaign {
    pub(crate) shape: Shape,
    /// How many.
    pub(crate) blows: usize,
    /// Where their order begins.
    pub(crate) seed: u64,
    /// Which may be dealt.
    pub(crate) kinds: Vec<Fault>,
    pub(crate) as_json: bool,
}

impl Campaign {
    /// Deals all blows; whether everything held.
    pub(crate) fn run(&self) -> bool {
        let Self { shape, blows, seed, ref kinds, as_json } = *self;
        let began = Instant::now();
        let mut random = Rng::with_seed(seed);
        eprintln!("seed {seed}");
        let mut plant = Plant::start(shape);
        eprintln!("all is up; logs in {}", plant.folder().display());
        let executions = Arc::new(Executions::new());
        let clerk = Clerk::start(plant.door(), executions.clone(), seed);
        let borrower = Borrower::start(plant.door(), seed);
        let mut dealt: BTreeMap<Fault, usize> = BTreeMap::new();
        plant.until("the first run has finished", |_| clerk.finished() > 0);
        for number in 1..=blows {
            let fault = choose(kinds, &dealt, &mut random);
            let at = began.elapsed().as_secs();
            eprintln!("{at:>6} s  {number:>5}  {:<18} {} runs finished", fault.name(), clerk.finished());
            strike::strike(&mut plant, fault, &mut random);
            *dealt.entry(fault).or_default() += 1;
            plant.pass(Duration::from_millis(random.u64(0..PAUSE_MS_MAX)));
            if number % WHOLE_EVERY == 0 {
                plant.whole();
            }
            assert!(clerk.works() && borrower.works(), "the clerk or the borrower has panicked");
        }
        plant.whole();
        // The plant goes on being looked after while the clerk waits for the last runs.
        let books = std::thread::scope(|scope| {
            let closing = scope.spawn(|| clerk.close());
            while !closing.is_finished() {
                plant.pass(Duration::from_millis(100));
            }
            closing.join().expect("the books are whole")
        });
        let verdict = Verdict::of(&books, &executions.read(), borrower.close());
        report::print(&dealt, &verdict, began.elapsed().as_secs_f64(), as_json);
        if !verdict.holds() {
            drop_but_keep_logs(plant);
        }
        verdict.holds()
    }
}

/// Every kind once first; then at random, by weight.
fn choose(kinds: &[Fault], dealt: &BTreeMap<Fault, usize>, random: &mut Rng) -> Fault {
    let never: Vec<Fault> = kinds.iter().copied().filter(|kind| !dealt.contains_key(kind)).collect();
    let among = if never.is_empty() { kinds } else { &never };
    let total: u32 = among.iter().map(|kind| kind.weight()).sum();
    let mut left = random.u32(0..total);
    for kind in among {
        match left.checked_sub(kind.weight()) {
            None => return *kind,
            Some(rest) => left = rest,
        }
    }
    among[0]
}

fn drop_but_keep_logs(mut plant: Plant) {
    let folder = plant.keep_logs();
    eprintln!("logs are in {}", folder.display());
}
