#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::super::limits::{RETRY_FIRST_MS, STOP_WAIT_MS};
use super::super::state::{ScaleEvent, Scaling, waits_ms};
use super::*;

const TERMS: Terms = Terms { cooldown_ms: 10_000, quiet_ms: 60_000, at_once: 5, start_ms: 300_000 };

/// Long after the leader began.
const NOW: Timestamp = Timestamp(1_000_000_000);

fn counts(desired: u32, ready: u32, max: u32) -> Counts {
    Counts { desired, min: 0, max, ready, finishing: 0, others: ready }
}

fn input(counts: Counts, machines: Vec<Machine>) -> Input {
    let taken = machines.iter().map(|machine| machine.name.clone()).collect();
    Input {
        now: NOW,
        leads_since: Timestamp(0),
        terms: TERMS,
        counts: Some(counts),
        memory: Memory::default(),
        machines,
        surplus_since: Some(Timestamp(0)),
        names: Names { listed: None, prefix: "x64".into(), taken },
    }
}

fn order(phase: Phase) -> Order {
    let came_at = matches!(phase, Phase::There | Phase::Draining).then_some(Timestamp(1));
    let id = came_at.map(|_| AgentId::from_u128(1));
    let asked_at = Timestamp(NOW.0 - 1_000);
    Order { pool: "x64".into(), asked_at, phase, since: asked_at, id, came_at, failed: false }
}

fn machine(name: &str, phase: Phase, leases: Option<u32>) -> Machine {
    let draining = phase == Phase::Draining;
    let id = AgentId::from_u128(1);
    let seen = leases.map(|leases| Seen { id, connected: true, draining, leases, member: true });
    Machine {
        name: name.into(),
        order: order(phase),
        seen,
        seen_at: NOW,
        calling: false,
        stop: Stop::default(),
    }
}

fn asks(actions: &[Action]) -> Vec<&str> {
    let asked = actions.iter().filter_map(|action| match action {
        Action::Ask { agent, .. } => Some(agent.as_str()),
        _ => None,
    });
    asked.collect()
}

fn drains(actions: &[Action]) -> Vec<&str> {
    let drained = actions.iter().filter_map(|action| match action {
        Action::Drain { agent, failure: None } => Some(agent.as_str()),
        _ => None,
    });
    drained.collect()
}

#[test]
fn as_many_are_asked_for_as_are_missing_within_all_limits() {
    let decided = |input: &Input| asks(&decide(input)).len();
    assert_eq!(decided(&input(counts(3, 1, 10), vec![])), 2);
    assert_eq!(decided(&input(counts(3, 3, 10), vec![])), 0);
    assert_eq!(decided(&input(counts(9, 1, 10), vec![])), 5, "not more at once");
    let on_its_way = vec![machine("a", Phase::Started, None), machine("b", Phase::Started, None)];
    assert_eq!(decided(&input(counts(9, 1, 10), on_its_way.clone())), 3, "with those on their way");
    assert_eq!(decided(&input(counts(3, 1, 10), on_its_way)), 0);
    let stopping = vec![machine("a", Phase::Stopping, None), machine("b", Phase::Draining, Some(1))];
    assert_eq!(decided(&input(counts(4, 1, 4), stopping)), 1, "what goes is still there");
    let mut finishing = input(counts(3, 0, 10), vec![]);
    finishing.counts = Some(Counts { finishing: 3, ..counts(3, 0, 10) });
    assert_eq!(decided(&finishing), 0, "what they run waits for nobody");
    let without_bounds = Input { counts: None, ..input(counts(3, 1, 10), vec![]) };
    assert_eq!(decided(&without_bounds), 0);
    let minimum = Counts { min: 2, ..counts(2, 0, 5) };
    assert_eq!(decided(&input(minimum, vec![])), 2);
}

#[test]
fn nothing_is_asked_for_before_its_time() {
    let wants = input(counts(3, 1, 10), vec![]);
    let began = Input { leads_since: Timestamp(NOW.0 - SETTLE_MS + 1), ..wants.clone() };
    assert_eq!(decide(&began), [], "those that are there may come back");
    let acted = |ago| Memory { acted_at: Timestamp(NOW.0 - ago), ..Memory::default() };
    assert_eq!(decide(&Input { memory: acted(9_999), ..wants.clone() }), []);
    assert_eq!(decide(&Input { memory: acted(10_000), ..wants.clone() }).len(), 2);
    let failed = |failures, ago| Memory { failures, failed_at: Timestamp(NOW.0 - ago), ..Memory::default() };
    assert_eq!(decide(&Input { memory: failed(2, 2 * RETRY_FIRST_MS - 1), ..wants.clone() }), []);
    assert_eq!(decide(&Input { memory: failed(2, 2 * RETRY_FIRST_MS), ..wants }).len(), 2);
}

#[test]
fn one_that_was_asked_for_counts_until_its_time_is_over() {
    let mut late = machine("x64-1", Phase::Started, None);
    late.order.asked_at = Timestamp(NOW.0 - TERMS.start_ms);
    let actions = decide(&input(counts(1, 0, 5), vec![late.clone()]));
    let failure = Some("it did not come within 300 s".to_owned());
    let stop = Action::Stop { agent: "x64-1".into(), failure };
    assert_eq!(actions[0], stop);
    assert_eq!(asks(&actions), ["x64-2"], "it counts as an agent no longer");
    late.seen = machine("", Phase::There, Some(0)).seen;
    let came = decide(&input(counts(1, 1, 5), vec![late]));
    assert_eq!(came, [Action::Came { agent: "x64-1".into(), id: AgentId::from_u128(1), stray: false }]);
    let just = machine("x64-1", Phase::Asked, None);
    let call = Action::CallUp { agent: "x64-1".into() };
    assert_eq!(decide(&input(counts(1, 0, 5), vec![just.clone()])), std::slice::from_ref(&call));
    let leads_since = Timestamp(just.order.asked_at.0 + 1);
    let next = Input { leads_since, ..input(counts(1, 0, 5), vec![just.clone()]) };
    assert_eq!(decide(&next), [], "a leader before this one asked");
    let mut later = next.clone();
    later.machines[0].order.asked_at = Timestamp(NOW.0 - TERMS.start_ms);
    assert_eq!(decide(&later), [], "nobody led when its time was over");
    let settled = Input { now: leads_since.after(SETTLE_MS), ..next };
    assert_eq!(decide(&settled), [call]);
    assert_eq!(decide(&input(counts(1, 0, 5), vec![Machine { calling: true, ..just }])), []);
}

#[test]
fn only_idle_agents_that_are_not_new_are_let_go_the_youngest_first() {
    let at = |name: &str, came_at: u64, leases| {
        let mut there = machine(name, Phase::There, Some(leases));
        there.order.came_at = Some(Timestamp(came_at));
        there
    };
    let just = NOW.0 - JUST_ARRIVED_MS + 1;
    let machines = vec![at("old", 1, 0), at("busy", 3, 1), at("young", 2, 0), at("new", just, 0)];
    let four = Counts { others: 0, ..counts(0, 4, 9) };
    assert_eq!(drains(&decide(&input(four, machines.clone()))), ["young", "old"]);
    let three_wanted = Counts { desired: 3, ..four };
    assert_eq!(drains(&decide(&input(three_wanted, machines.clone()))), ["young"]);
    let three_at_least = Counts { min: 3, ..four };
    assert_eq!(drains(&decide(&input(three_at_least, machines.clone()))), ["young"]);
    let quiet = Input { surplus_since: Some(Timestamp(NOW.0 - 59_999)), ..input(four, machines.clone()) };
    assert_eq!(decide(&quiet), []);
    let mut seen = machines[0].clone();
    seen.seen = seen.seen.map(|seen| Seen { draining: true, ..seen });
    assert_eq!(decide(&input(four, vec![seen])), [], "somebody else drains it");
    let finishing = Counts { desired: 3, min: 2, max: 9, ready: 2, finishing: 3, others: 5 };
    assert_eq!(surplus(&finishing), 0, "the others are about to go");
}

#[test]
fn one_that_drains_is_stopped_when_it_has_no_job_and_goes_on_when_it_is_needed() {
    let busy = machine("a", Phase::Draining, Some(1));
    let idle = machine("a", Phase::Draining, Some(0));
    let none = Counts { others: 0, ..counts(0, 0, 5) };
    let (stop, resume) =
        (Action::Stop { agent: "a".into(), failure: None }, Action::Resume { agent: "a".into() });
    assert_eq!(decide(&input(none, vec![busy.clone()])), []);
    assert_eq!(decide(&input(none, vec![idle.clone()])), std::slice::from_ref(&stop));
    let one = Counts { desired: 1, ..none };
    assert_eq!(decide(&input(one, vec![idle.clone()])), std::slice::from_ref(&resume), "instead of another");
    let two = Counts { desired: 2, finishing: 1, ..none };
    let both = decide(&input(two, vec![busy]));
    assert_eq!((&both[0], asks(&both)), (&resume, vec!["x64-1"]), "it has a job already");
    let mut stray = idle;
    stray.order.failed = true;
    assert_eq!(decide(&input(one, vec![stray]))[0], stop, "one that is no use is not needed");
    let mut gone = machine("a", Phase::Draining, None);
    assert_eq!(decide(&input(none, vec![gone.clone()])), [], "it may have a job yet");
    gone.seen_at = Timestamp(NOW.0 - AWAY_MS);
    assert_eq!(decide(&input(none, vec![gone])), [stop]);
}

#[test]
fn the_driver_is_told_to_stop_one_until_it_is_gone_or_given_up() {
    let stopping = |stop: Stop, leases| Machine { stop, ..machine("a", Phase::Stopping, leases) };
    let decided = |machine| decide(&input(Counts::default(), vec![machine]));
    let call = [Action::CallDown { agent: "a".into() }];
    let forget =
        |failure: Option<&str>| [Action::Forget { agent: "a".into(), failure: failure.map(str::to_owned) }];
    assert_eq!(decided(stopping(Stop::default(), None)), call);
    let done = Stop { done: true, tries: 1, not_before: NOW.after(STOP_WAIT_MS), failure: None };
    assert_eq!(decided(stopping(done.clone(), None)), forget(None));
    assert_eq!(decided(stopping(done.clone(), Some(0))), [], "it may take a while to end");
    assert_eq!(decided(stopping(Stop { not_before: NOW, ..done }, Some(0))), call);
    let failed = |tries, not_before| Stop { done: false, tries, not_before, failure: Some("no".into()) };
    assert_eq!(decided(stopping(failed(1, NOW.after(1)), None)), []);
    assert_eq!(decided(stopping(failed(1, NOW), None)), call);
    let given_up = forget(Some("it could not be stopped: no"));
    assert_eq!(decided(stopping(failed(STOP_TRIES_MAX, NOW), None)), given_up);
}

#[test]
fn an_agent_that_is_away_is_expected_then_replaced_then_stopped() {
    let one = Counts { others: 0, ..counts(1, 0, 5) };
    let away = |ms| Machine { seen_at: Timestamp(NOW.0 - ms), ..machine("x64-1", Phase::There, None) };
    assert_eq!(decide(&input(one, vec![away(SETTLE_MS - 1)])), []);
    assert_eq!(asks(&decide(&input(one, vec![away(SETTLE_MS)]))), ["x64-2"]);
    let full = Counts { max: 1, ..one };
    assert_eq!(decide(&input(full, vec![away(SETTLE_MS)])), [], "it is there, as far as anybody knows");
    let actions = decide(&input(one, vec![away(AWAY_MS)]));
    assert!(matches!(&actions[0], Action::Stop { failure: Some(why), .. } if why.contains("away")));
}

#[test]
fn one_that_came_to_another_pool_is_let_go() {
    let mut stray = machine("a", Phase::There, Some(1));
    stray.seen = stray.seen.map(|seen| Seen { member: false, ..seen });
    let actions = decide(&input(Counts::default(), vec![stray]));
    assert!(matches!(&actions[..], [Action::Drain { failure: Some(why), .. }] if why.contains("labels")));
}

#[test]
fn names_are_new_and_those_that_are_listed_take_turns() {
    let taken: BTreeSet<String> = ["x64-5", "b"].map(str::to_owned).into();
    let any = Names { listed: None, prefix: "x64".into(), taken: taken.clone() };
    assert_eq!(any.next(3, 2), [("x64-4".into(), 4), ("x64-6".into(), 6)]);
    let listed = ["a", "b", "c", "d"].map(str::to_owned).into();
    let listed = Names { listed: Some(listed), prefix: String::new(), taken };
    assert_eq!(listed.next(0, 9), [("a".into(), 1), ("c".into(), 3), ("d".into(), 4)]);
    assert_eq!(listed.next(3, 2), [("d".into(), 4), ("a".into(), 1)]);
    assert!(!listed.is_exhausted());
    assert_eq!(listed.next(u64::MAX / 2, 0), []);
    let none = Names { taken: ["a", "b", "c", "d"].map(str::to_owned).into(), ..listed };
    assert!(none.is_exhausted() && none.next(1, 3).is_empty());
}

/// A world of machines that obey their driver, or do not.
#[derive(Default)]
struct World {
    now: u64,
    scaling: Scaling,
    /// Machines that run: name, and how many jobs each has.
    running: Vec<(String, u32)>,
    /// What the driver says of stopping.
    stops: std::collections::BTreeMap<String, Stop>,
    leads_since: u64,
    seen_at: std::collections::BTreeMap<String, u64>,
    surplus_since: Option<Timestamp>,
}

/// What happens between two decisions.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes, and so many jobs are wanted.
    Wait { seconds: u64, jobs: u32 },
    /// Another leader begins; it knows what is in the journal.
    Restart,
    /// The driver starts what it is told to only while this holds.
    Broken(bool),
    /// A machine dies.
    Dies(usize),
}

const MIN: u32 = 1;
const MAX: u32 = 4;

impl World {
    fn input(&mut self, jobs: u32) -> Input {
        let now = Timestamp(self.now);
        let names: Vec<String> = self.scaling.names().map(str::to_owned).collect();
        let mut machines = Vec::new();
        for name in names {
            let order = self.scaling.order(&name).unwrap().clone();
            let running = self.running.iter().find(|(running, _)| *running == name);
            let seen = running.map(|(name, leases)| Seen {
                id: AgentId::from_u128(u128::from(name.len() as u64)),
                connected: true,
                draining: matches!(order.phase, Phase::Draining | Phase::Stopping),
                leases: *leases,
                member: true,
            });
            if seen.is_some() {
                self.seen_at.insert(name.clone(), self.now);
            }
            let seen_at = Timestamp(self.seen_at.get(&name).copied().unwrap_or(self.leads_since));
            let stop = self.stops.get(&name).cloned().unwrap_or_default();
            machines.push(Machine { name, order, seen, seen_at, calling: false, stop });
        }
        let takes = |machine: &&Machine| {
            machine.seen.is_some() && !matches!(machine.order.phase, Phase::Draining | Phase::Stopping)
        };
        let finishing = machines.iter().filter(|machine| {
            machine.order.phase == Phase::Draining && machine.seen.is_some_and(|seen| seen.leases > 0)
        });
        let counts = Counts {
            desired: jobs.clamp(MIN, MAX),
            min: MIN,
            max: MAX,
            ready: machines.iter().filter(takes).count() as u32,
            finishing: finishing.count() as u32,
            others: 0,
        };
        let mut input = input(counts, machines);
        input.now = now;
        input.leads_since = Timestamp(self.leads_since);
        input.memory = self.scaling.memory("x64");
        self.surplus_since = has_surplus(&input).then(|| self.surplus_since.unwrap_or(now));
        input.surplus_since = self.surplus_since;
        input
    }

    /// Does what was decided, and checks each thing.
    fn act(&mut self, input: &Input, action: Action, broken: bool) {
        let at = Timestamp(self.now);
        let leases =
            |agent: &str| self.running.iter().find(|(name, _)| name == agent).map(|(_, leases)| *leases);
        let event = match action {
            Action::Ask { agent, number } => ScaleEvent::Asked { agent, pool: "x64".into(), number, at },
            Action::CallUp { agent } => {
                if broken {
                    let failure = Some("broken".to_owned());
                    self.scaling.apply(&ScaleEvent::Stopping { agent, failure, at });
                } else {
                    assert!(leases(&agent).is_none(), "{agent} is started twice");
                    self.running.push((agent.clone(), 0));
                    self.scaling.apply(&ScaleEvent::Started { agent, at });
                }
                return;
            }
            Action::CallDown { agent } => {
                assert_eq!(leases(&agent).unwrap_or(0), 0, "{agent} is stopped at its work");
                let stop = self.stops.entry(agent.clone()).or_default();
                stop.tries += 1;
                stop.done = !broken;
                stop.not_before = at.after(if broken { waits_ms(stop.tries) } else { STOP_WAIT_MS });
                if !broken {
                    self.running.retain(|(running, _)| *running != agent);
                }
                return;
            }
            Action::Came { agent, id, stray } => ScaleEvent::Came { agent, id, stray, at },
            Action::Drain { agent, failure } => {
                assert_eq!(leases(&agent), Some(0), "{agent} is let go at its work");
                let came_at = self.scaling.order(&agent).and_then(|order| order.came_at).unwrap();
                assert!(at.since(came_at) >= JUST_ARRIVED_MS, "{agent} has just come");
                assert!(input.counts.unwrap().ready > MIN, "below the minimum");
                ScaleEvent::Draining { agent, failure, at }
            }
            Action::Resume { agent } => ScaleEvent::Resumed { agent, at },
            Action::Stop { agent, failure } => ScaleEvent::Stopping { agent, failure, at },
            Action::Forget { agent, failure } => {
                self.stops.remove(&agent);
                ScaleEvent::Stopped { agent, failure, at }
            }
        };
        assert!(self.scaling.admits(&event), "{event:?}");
        self.scaling.apply(&event);
    }

    /// Jobs go to machines that take some, one each.
    fn work(&mut self, jobs: u32) {
        let mut left = jobs;
        for (name, leases) in &mut self.running {
            let phase = self.scaling.order(name).map(|order| order.phase);
            let takes = matches!(phase, Some(Phase::There));
            *leases = u32::from(left > 0 && (takes || *leases > 0));
            left -= *leases;
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..120_u64, 0..8_u32).prop_map(|(seconds, jobs)| Step::Wait { seconds, jobs }),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(Step::Broken),
        1 => (0..4_usize).prop_map(Step::Dies),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn whatever_happens_the_bounds_hold_and_in_the_end_all_is_as_it_should_be(steps in steps()) {
        let mut world = World { now: NOW.0, leads_since: NOW.0 - SETTLE_MS, ..World::default() };
        let (mut broken, mut jobs) = (false, 0);
        let end = std::iter::repeat_n(Step::Wait { seconds: 60, jobs: 2 }, 120);
        let begin = end.len();
        let all: Vec<Step> = steps.into_iter().chain([Step::Broken(false)]).chain(end).collect();
        let settled = all.len() - begin / 2;
        for (number, step) in all.into_iter().enumerate() {
            match step {
                Step::Wait { seconds, jobs: wanted } => {
                    world.now += seconds * 1_000;
                    jobs = wanted;
                }
                Step::Restart => {
                    world.stops.clear();
                    world.seen_at.clear();
                    (world.leads_since, world.surplus_since) = (world.now, None);
                }
                Step::Broken(now) => broken = now,
                Step::Dies(which) => {
                    if which < world.running.len() {
                        world.running.remove(which);
                    }
                }
            }
            world.work(jobs);
            // One that came takes jobs, and one that goes is forgotten, in looks of their own.
            for _ in 0..4 {
                let input = world.input(jobs);
                let actions = decide(&input);
                for action in actions.clone() {
                    world.act(&input, action, broken);
                }
                prop_assert!(world.scaling.names().count() <= MAX as usize, "above the maximum");
                let again = decide(&world.input(jobs));
                let twice: Vec<&Action> = again.iter().filter(|action| actions.contains(action)).collect();
                prop_assert!(twice.is_empty(), "{:?}", twice);
                prop_assert!(asks(&again).is_empty() || asks(&actions).is_empty(), "asked again at once");
            }
            if number >= settled {
                prop_assert_eq!(world.running.len(), 2);
                prop_assert_eq!(world.scaling.names().count(), 2);
            }
        }
    }
}
