//! What a forge was told, as a part of the journal: of each run where it belongs and which reports there are, of each commit
//! which runs sum up to it.
//!
//! Invariant: like the scheduler's state, it is a function of the journal; [`Told::apply`] and its kin cannot fail. What is told of a run goes
//! with the run; of commits the newest [`COMMITS_MAX`] are remembered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use slipway_scheduler::{RunId, Timestamp};

use super::Place;
use super::rules::Question;
use crate::reports::Judged;

/// How many commits are remembered. A further delivery for one that was forgotten sums it up anew.
pub const COMMITS_MAX: usize = 10_000;

/// How many workflow files with something wrong are told of one commit.
pub const PROBLEMS_MAX: usize = 20;

/// Names a report of a run: an instance's id, `job:` with the id of a job that has none, or `gate:` with a gate's name.
pub type Part = String;

/// Something that was told, or that is to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReportEvent {
    /// A delivery is about this commit: it is summed up, whatever the delivery starts.
    Commit {
        /// Which.
        place: Place,
        /// Host of the forge.
        forge: String,
        /// The delivery's id.
        delivery: String,
        /// When.
        at: Timestamp,
    },
    /// A workflow of the commit could not be started as it should.
    Problem {
        /// Of which commit.
        place: Place,
        /// The file.
        file: String,
        /// Why, for people.
        message: String,
    },
    /// A run's reports belong to this commit.
    Run {
        /// Which run.
        run: RunId,
        /// Where they belong.
        place: Place,
        /// Whether it counts in the commit's sum.
        counts: bool,
    },
    /// What the gates of a run that has ended say; none: it has none.
    Gates {
        /// Which run.
        run: RunId,
        /// All of them.
        gates: Vec<Judged>,
    },
    /// The forge has a report on a part of a run.
    Made {
        /// Of which run.
        run: RunId,
        /// What of it.
        part: Part,
        /// The forge's id of the report.
        id: u64,
        /// Whether it is the last word.
        settled: bool,
    },
    /// The forge has the last word on a part of a run, or will never take it.
    Settled {
        /// Of which run.
        run: RunId,
        /// What of it.
        part: Part,
    },
    /// The forge has the report that sums up a commit.
    SumMade {
        /// Which commit.
        place: Place,
        /// The forge's id of the report.
        id: u64,
        /// How often it was begun anew.
        generation: u32,
        /// Whether it is the last word.
        settled: bool,
    },
    /// The forge has the last word on it, or will never take it.
    SumSettled {
        /// Which commit.
        place: Place,
        /// Which beginning.
        generation: u32,
    },
    /// Commits up to this one are to be held against its repository's rules.
    RulesAsked {
        /// The newest of them.
        place: Place,
        /// Because of what.
        event: String,
        /// Which, and which rules.
        question: Question,
    },
    /// They were.
    RulesJudged {
        /// The newest of them.
        place: Place,
        /// Because of what.
        event: String,
        /// What came out.
        judged: Judged,
    },
    /// The forge has the report on that.
    RulesMade {
        /// The newest of them.
        place: Place,
        /// Because of what.
        event: String,
        /// The forge's id of the report.
        id: u64,
        /// How often it was begun anew.
        generation: u32,
        /// Whether it is the last word.
        settled: bool,
    },
    /// The forge has the last word on it, or will never take it.
    RulesSettled {
        /// The newest of them.
        place: Place,
        /// Because of what.
        event: String,
        /// Which beginning.
        generation: u32,
    },
    /// Deliveries before this time were looked after.
    Looked {
        /// The time.
        at: Timestamp,
    },
}

impl ReportEvent {
    /// The commit that something new sums up to.
    pub(crate) fn touches(&self) -> Option<&Place> {
        match self {
            Self::Commit { place, .. }
            | Self::Problem { place, .. }
            | Self::Run { place, .. }
            | Self::RulesAsked { place, .. }
            | Self::RulesJudged { place, .. } => Some(place),
            _ => None,
        }
    }
}

/// A report that the forge has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldReport {
    /// The forge's id; 0: it never took it.
    pub id: u64,
    /// Whether it is the last word.
    pub settled: bool,
}

/// What was told of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRun {
    /// Where it belongs.
    pub place: Place,
    /// Its reports.
    pub parts: BTreeMap<Part, ToldReport>,
    /// What its gates say; `None`: they were not judged yet.
    #[serde(default)]
    pub gates: Option<Vec<Judged>>,
}

/// What was told of a commit, and what sums up to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldCommit {
    /// Deliveries that are not dealt with yet.
    pub open: BTreeSet<String>,
    /// Runs that count.
    pub runs: BTreeSet<RunId>,
    /// Files with something wrong, and what.
    pub problems: BTreeMap<String, String>,
    /// The report.
    pub report: Option<ToldReport>,
    /// How often it was begun anew.
    pub generation: u32,
    /// A run that counted is not known any more: what is known does not sum up.
    pub incomplete: bool,
    /// What its repository asks of it and those before it, by the event that brought it.
    #[serde(default)]
    pub rules: BTreeMap<String, ToldRules>,
}

impl ToldCommit {
    /// Whether all that there is to tell was told.
    fn is_settled(&self) -> bool {
        let rules = self.rules.values().map(|rules| rules.report);
        rules.chain([self.report]).all(|report| report.is_some_and(|report| report.settled))
    }
}

/// What was told of commits and their repository's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRules {
    /// Which commits, and which rules.
    pub question: Question,
    /// What came out; `None`: they were not looked at yet.
    pub judged: Option<Judged>,
    /// The report.
    pub report: Option<ToldReport>,
    /// How often it was begun anew.
    pub generation: u32,
}

impl ToldRules {
    /// What was the last word is so no more.
    fn begin(&mut self) {
        if self.report.is_some_and(|report| report.settled) {
            self.report = None;
            self.generation += 1;
        }
    }
}

/// All that was told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    runs: BTreeMap<RunId, ToldRun>,
    #[serde(with = "as_list")]
    commits: BTreeMap<Place, ToldCommit>,
    /// Commits, oldest first.
    order: VecDeque<Place>,
    /// Until when deliveries were looked after.
    looked: Option<Timestamp>,
    /// Which commit an open delivery is about.
    open: BTreeMap<String, Place>,
}

/// JSON has only texts for keys.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Place, ToldCommit};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Place, ToldCommit>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Place, ToldCommit>, D::Error> {
        Ok(Vec::<(Place, ToldCommit)>::deserialize(from)?.into_iter().collect())
    }
}

impl Told {
    /// Takes note of an entry of the journal.
    pub(crate) fn apply(&mut self, event: &ReportEvent) {
        match event {
            ReportEvent::Commit { place, delivery, .. } => {
                self.commit(place).open.insert(delivery.clone());
                self.open.insert(delivery.clone(), place.clone());
            }
            ReportEvent::Problem { place, file, message } => {
                let commit = self.begin(place);
                if commit.problems.len() < PROBLEMS_MAX || commit.problems.contains_key(file) {
                    commit.problems.insert(file.clone(), message.clone());
                }
            }
            ReportEvent::Run { run, place, counts } => {
                if *counts {
                    self.begin(place).runs.insert(*run);
                }
                let told = ToldRun { place: place.clone(), parts: BTreeMap::new(), gates: None };
                self.runs.entry(*run).or_insert(told);
            }
            ReportEvent::Gates { run, gates } => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.gates = Some(gates.clone());
                }
            }
            ReportEvent::Made { run, part, id, settled } => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.parts.insert(part.clone(), ToldReport { id: *id, settled: *settled });
                }
            }
            ReportEvent::Settled { run, part } => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.parts.entry(part.clone()).or_default().settled = true;
                }
            }
            ReportEvent::SumMade { place, id, generation, settled } => {
                if let Some(commit) =
                    self.commits.get_mut(place).filter(|known| known.generation == *generation)
                {
                    commit.report = Some(ToldReport { id: *id, settled: *settled });
                }
            }
            ReportEvent::SumSettled { place, generation } => {
                if let Some(commit) =
                    self.commits.get_mut(place).filter(|known| known.generation == *generation)
                {
                    commit.report.get_or_insert_default().settled = true;
                }
            }
            ReportEvent::RulesAsked { place, event, question } => {
                let new =
                    || ToldRules { question: question.clone(), judged: None, report: None, generation: 0 };
                let ruled = self.commit(place).rules.entry(event.clone()).or_insert_with(new);
                ruled.begin();
                (ruled.question, ruled.judged) = (question.clone(), None);
            }
            ReportEvent::RulesJudged { place, event, judged } => {
                if let Some(ruled) = self.rules(place, event).filter(|it| it.judged.as_ref() != Some(judged))
                {
                    ruled.begin();
                    ruled.judged = Some(judged.clone());
                }
            }
            ReportEvent::RulesMade { place, event, id, generation, settled } => {
                if let Some(ruled) = self.rules(place, event).filter(|it| it.generation == *generation) {
                    ruled.report = Some(ToldReport { id: *id, settled: *settled });
                }
            }
            ReportEvent::RulesSettled { place, event, generation } => {
                if let Some(ruled) = self.rules(place, event).filter(|it| it.generation == *generation) {
                    ruled.report.get_or_insert_default().settled = true;
                }
            }
            ReportEvent::Looked { at } => self.looked = Some(*at),
        }
    }

    fn rules(&mut self, place: &Place, event: &str) -> Option<&mut ToldRules> {
        self.commits.get_mut(place)?.rules.get_mut(event)
    }

    /// The commit, remembered from now on.
    fn commit(&mut self, place: &Place) -> &mut ToldCommit {
        if !self.commits.contains_key(place) {
            self.order.push_back(place.clone());
            if self.order.len() > COMMITS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.commits.remove(&oldest);
                self.open.retain(|_, open| *open != oldest);
            }
        }
        self.commits.entry(place.clone()).or_default()
    }

    /// The same where something new sums up to it: what was the last word is so no more.
    fn begin(&mut self, place: &Place) -> &mut ToldCommit {
        let commit = self.commit(place);
        if commit.report.is_some_and(|report| report.settled) {
            commit.report = None;
            commit.generation += 1;
            // Those that are not known any more were told of already.
            commit.incomplete = false;
        }
        commit
    }

    /// The commit that an open delivery is about.
    pub(crate) fn is_about(&self, delivery: &str) -> Option<&Place> {
        self.open.get(delivery)
    }

    /// A delivery was dealt with.
    pub(crate) fn dealt_with(&mut self, delivery: &str) {
        if let Some(place) = self.open.remove(delivery)
            && let Some(commit) = self.commits.get_mut(&place)
        {
            commit.open.remove(delivery);
        }
    }

    /// A run left the state.
    pub(crate) fn retired(&mut self, run: RunId) {
        let Some(told) = self.runs.remove(&run) else { return };
        if let Some(commit) = self.commits.get_mut(&told.place)
            && commit.runs.remove(&run)
        {
            commit.incomplete |= commit.report.is_none_or(|report| !report.settled);
        }
    }

    /// What was told of a run; `None`: nothing, and where it belongs is not known yet.
    #[must_use]
    pub fn run(&self, run: RunId) -> Option<&ToldRun> {
        self.runs.get(&run)
    }

    /// Runs whose reports belong to this commit.
    pub fn runs_at(&self, place: &Place) -> impl Iterator<Item = RunId> {
        self.runs.iter().filter(move |(_, told)| told.place == *place).map(|(run, _)| *run)
    }

    /// What was told of a commit.
    #[must_use]
    pub fn of_commit(&self, place: &Place) -> Option<&ToldCommit> {
        self.commits.get(place)
    }

    /// Commits whose last word was not told.
    pub fn unsettled(&self) -> impl Iterator<Item = (&Place, &ToldCommit)> {
        self.commits.iter().filter(|(_, commit)| !commit.is_settled())
    }

    /// Until when deliveries were looked after.
    #[must_use]
    pub fn looked(&self) -> Option<Timestamp> {
        self.looked
    }
}

#[cfg(test)]
#[path = "told_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
