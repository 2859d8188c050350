//! Whose turn it is: shares, priorities, waiting, lanes, and the place in the queue that people are told.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use scene::{SUCCESS, Scene, expansion, leases, submit};
use slipway_scheduler::command::{Concurrency, Queueing, Report, Resolution, ResolveJob, Standing};
use slipway_scheduler::fleet::AgentProfile;
use slipway_scheduler::invariant::Fairness;
use slipway_scheduler::limits::{AGED_TURN_EVERY, PRIORITY_POINT_MS};
use slipway_scheduler::{
    AgentId, Command, Fleet, InstanceId, LabelSet, RunId, State, Uptime, WaitReason, explain_wait,
};

/// A scheduler, its fleet, and a watch over what is fair.
struct Hall {
    scene: Scene,
    fleet: Fleet,
    fairness: Fairness,
    runs: u128,
    instances: u128,
}

/// A concurrency group that no other run has.
const OWN: &str = "own";

/// What a run asks for.
#[derive(Clone)]
struct Wanted {
    repository: &'static str,
    standing: Standing,
    group: Option<&'static str>,
    labels: &'static [&'static str],
    count: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        let standing = Standing::default();
        Self { repository: "o/a", standing, group: None, labels: &["linux"], count: 1 }
    }
}

fn of(repository: &'static str, count: usize) -> Wanted {
    Wanted { repository, count, ..Wanted::default() }
}

fn urgent(priority: i8, count: usize) -> Wanted {
    let standing = Standing { priority, ..Standing::default() };
    Wanted { standing, count, ..Wanted::default() }
}

impl Hall {
    /// With one agent that has these labels and one slot.
    fn new(labels: &[&str]) -> Self {
        let (scene, fleet) = (Scene::new(), Fleet::new());
        let mut hall = Self { scene, fleet, fairness: Fairness::default(), runs: 0, instances: 0 };
        hall.agent(1, labels, 1);
        hall
    }

    fn agent(&mut self, number: u128, labels: &[&str], slots: u32) {
        let (id, labels) = (AgentId::from_u128(number), LabelSet::new(labels));
        let profile =
            AgentProfile { id, name: String::new(), labels, slots, accepts_untrusted: false, sizing: None };
        self.fleet.hello(&self.scene.state, profile, &[], Uptime(0)).unwrap();
    }

    fn command(&mut self, command: Command) -> Vec<slipway_scheduler::Event> {
        let events = self.scene.run(command);
        events.iter().for_each(|event| self.fleet.observe(&self.scene.state, event, Uptime(0)));
        events
    }

    /// Submits a run whose one job becomes that many instances; gives their ids.
    fn submit(&mut self, wanted: Wanted) -> Vec<InstanceId> {
        self.runs += 1;
        let run = RunId::from_u128(self.runs);
        let mut new = submit(run, &["a"]);
        new.meta.repository = wanted.repository.to_owned();
        new.standing = wanted.standing;
        new.concurrency = wanted.group.map(|group| Concurrency {
            // Each run's own, where it only makes a lane.
            group: if group == OWN { format!("group {}", self.runs) } else { group.to_owned() },
            cancel_in_progress: false,
            queue: Queueing::Max,
        });
        self.command(Command::Submit(Box::new(new)));
        let numbers: Vec<_> = (0..wanted.count as u128).map(|at| self.instances + at + 1).collect();
        self.instances += wanted.count as u128;
        let mut matrix = expansion(&numbers);
        for instance in &mut matrix.instances {
            instance.labels = LabelSet::new(wanted.labels);
        }
        let resolution = Resolution::Instances(matrix);
        self.command(Command::ResolveJob(ResolveJob { run, job: "a".into(), cancelled: false, resolution }));
        numbers.into_iter().map(InstanceId::from_u128).collect()
    }

    /// The next lease, which ends at once.
    fn next(&mut self) -> Option<InstanceId> {
        let grant = self.fleet.next_grant(&self.scene.state, self.scene.now)?;
        let (agent, id) = (grant.agent.clone(), grant.instance);
        self.fairness.leased(&self.scene.state, &agent, id).unwrap();
        let lease = leases(&self.command(Command::Grant(grant)))[0];
        self.command(Command::Report(Report { lease, outcome: SUCCESS, records: 0, records_digest: None }));
        Some(id)
    }

    fn order(&mut self, count: usize) -> Vec<InstanceId> {
        std::iter::from_fn(|| self.next()).take(count).collect()
    }

    /// The repositories of the next leases.
    fn repositories(&mut self, count: usize) -> Vec<String> {
        let order = self.order(count);
        order.into_iter().map(|id| self.repository(id)).collect()
    }

    fn repository(&self, id: InstanceId) -> String {
        let run = self.scene.state.instance(id).unwrap().run();
        self.scene.state.run(run).unwrap().meta().repository.clone()
    }

    fn priority(&self, id: InstanceId) -> i8 {
        self.scene.state.instance(id).unwrap().line().priority()
    }

    fn position(&self, id: InstanceId) -> Option<usize> {
        match explain_wait(&self.scene.state, &self.fleet, id, self.scene.now) {
            Some(WaitReason::AgentsBusy { position, .. }) => Some(position),
            _ => None,
        }
    }

    /// Takes the only slot of the only agent.
    fn occupy(&mut self) {
        let grant = self.fleet.next_grant(&self.scene.state, self.scene.now).unwrap();
        self.command(Command::Grant(grant));
    }
}

#[test]
fn a_flood_of_one_repository_holds_nobody_up() {
    let mut hall = Hall::new(&["linux"]);
    hall.submit(of("o/flood", 100));
    assert_eq!(hall.repositories(3), ["o/flood"; 3]);
    hall.submit(of("o/small", 2));
    assert_eq!(hall.repositories(5), ["o/small", "o/flood", "o/small", "o/flood", "o/flood"]);
}

#[test]
fn a_share_that_was_idle_gets_no_credit_for_it() {
    let mut hall = Hall::new(&["linux"]);
    hall.submit(of("o/a", 200));
    hall.order(100);
    hall.submit(of("o/b", 50));
    let order = hall.repositories(40);
    assert_eq!(order.iter().filter(|repository| *repository == "o/b").count(), 20);
}

#[test]
fn repositories_of_one_share_have_its_turns_together_and_take_them_in_turn() {
    let mut hall = Hall::new(&["linux"]);
    let shared = Standing { share: Some("infra".into()), weight: 2, priority: 0 };
    for repository in ["o/x", "o/y"] {
        hall.submit(Wanted { standing: shared.clone(), ..of(repository, 30) });
    }
    hall.submit(of("o/alone", 30));
    let mut count = BTreeMap::new();
    for repository in hall.repositories(30) {
        *count.entry(repository).or_insert(0) += 1;
    }
    assert_eq!(
        count.into_iter().collect::<Vec<_>>(),
        [("o/alone".into(), 10), ("o/x".into(), 10), ("o/y".into(), 10)]
    );
}

#[test]
fn a_concurrency_group_is_not_held_up_by_the_rest_of_its_repository() {
    let mut hall = Hall::new(&["linux"]);
    hall.submit(of("o/a", 50));
    let deploy = hall.submit(Wanted { group: Some("deploy"), ..of("o/a", 3) });
    let order = hall.order(6);
    assert_eq!(order.iter().filter(|id| deploy.contains(id)).count(), 3, "every second one");
}

#[test]
fn a_higher_priority_goes_first_and_a_low_one_is_not_starved() {
    let mut hall = Hall::new(&["linux"]);
    let low = hall.submit(urgent(-10, 2));
    // So long that the low ones are the most urgent by their waiting.
    hall.scene.pass(30 * PRIORITY_POINT_MS);
    hall.submit(urgent(0, 3));
    let high = hall.submit(urgent(10, 60));
    assert!(high.contains(&hall.order(1)[0]));
    let order = hall.order(AGED_TURN_EVERY as usize * 2);
    let went: Vec<_> = order.iter().map(|id| hall.priority(*id)).collect();
    assert_eq!(went.iter().filter(|priority| **priority == -10).count(), 2, "{went:?}");
    assert_eq!(went.iter().filter(|priority| **priority == 0).count(), 0, "{went:?}");
    assert!(order.ends_with(&[low[1]]) || order.contains(&low[1]));
}

#[test]
fn a_point_of_priority_is_worth_a_minute_of_waiting() {
    for (waited_ms, first) in [(PRIORITY_POINT_MS - 1, 1), (PRIORITY_POINT_MS + 1, 0)] {
        let mut hall = Hall::new(&["linux"]);
        let plain = hall.submit(urgent(0, 1));
        hall.scene.pass(waited_ms);
        hall.submit(urgent(1, 50));
        let order = hall.order(AGED_TURN_EVERY as usize);
        assert_eq!(hall.priority(order[AGED_TURN_EVERY as usize - 1]), first, "{waited_ms}");
        assert_eq!(order.contains(&plain[0]), first == 0);
    }
}

#[test]
fn turns_of_one_kind_of_agent_are_not_those_of_another() {
    let mut hall = Hall::new(&["linux", "x64"]);
    let on = |repository, labels| Wanted { labels, ..of(repository, 40) };
    hall.submit(on("o/a", &["linux", "x64"]));
    hall.submit(on("o/a", &["linux", "arm64"]));
    hall.submit(on("o/b", &["linux", "x64"]));
    hall.agent(2, &["linux", "arm64"], 1);
    // Whatever o/a got where it was alone, it has every second turn where it is not.
    let mut count = BTreeMap::new();
    for id in hall.order(80) {
        let x64 = hall.scene.state.instance(id).unwrap().labels().contains("x64");
        *count.entry((hall.repository(id), x64)).or_insert(0) += 1;
    }
    let [arm, a, b] = [("o/a", false), ("o/a", true), ("o/b", true)]
        .map(|(name, x64)| count.get(&(name.to_owned(), x64)).copied().unwrap_or(0u32));
    assert!(arm + a + b == 80 && a.abs_diff(b) <= 1, "{count:?}");
}

#[test]
fn agents_that_are_all_different_serve_shares_in_turn() {
    let names: Vec<String> = (0..40).map(|number| format!("host-{number}")).collect();
    let mut hall = Hall::new(&["none"]);
    for (number, name) in names.iter().enumerate() {
        hall.agent(number as u128 + 2, &["linux", name], 1);
    }
    hall.submit(of("o/a", 100));
    hall.submit(of("o/b", 100));
    let mut count = BTreeMap::new();
    while let Some(grant) = hall.fleet.next_grant(&hall.scene.state, hall.scene.now) {
        *count.entry(hall.repository(grant.instance)).or_insert(0) += 1;
        hall.command(Command::Grant(grant));
    }
    assert_eq!(count.into_values().collect::<Vec<_>>(), [20, 20]);
}

#[test]
fn people_are_told_place_slots_and_when() {
    let mut hall = Hall::new(&["linux", "arm64", "self-hosted"]);
    let arm = |count| Wanted { labels: &["self-hosted", "linux", "arm64"], ..of("o/a", count) };
    let waiting = hall.submit(arm(6));
    hall.occupy();
    let wait = |hall: &Hall, id| {
        explain_wait(&hall.scene.state, &hall.fleet, id, hall.scene.now).unwrap().to_string()
    };
    assert_eq!(wait(&hall, waiting[3]), "the only ARM64 slot busy, position 3");
    // One takes a minute and a half.
    hall.scene.pass(90_000);
    let (lease, _) = hall.scene.state.leases().next().unwrap();
    hall.command(Command::Report(Report { lease, outcome: SUCCESS, records: 0, records_digest: None }));
    hall.occupy();
    assert_eq!(wait(&hall, waiting[2]), "the only ARM64 slot busy, position 1, expected in about 2 min");
    hall.agent(2, &["linux", "arm64", "self-hosted"], 1);
    hall.occupy();
    let told = explain_wait(&hall.scene.state, &hall.fleet, waiting[5], hall.scene.now).unwrap();
    assert_eq!(told.to_string(), "all 2 ARM64 slots busy, position 3, expected in about 3 min");
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(
        (&json["reason"], &json["position"], &json["expected_s"]),
        (&"agents_busy".into(), &3.into(), &135.into())
    );
}

#[test]
fn the_standing_is_in_the_journal_and_its_absence_is_the_default() {
    let mut hall = Hall::new(&["linux"]);
    let standing = Standing { share: Some("Infra".into()), weight: 4, priority: 7 };
    hall.submit(Wanted { standing, ..Wanted::default() });
    hall.submit(Wanted::default());
    let submitted: Vec<_> =
        hall.scene.journal.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    let submitted: Vec<_> = submitted.iter().filter(|event| event["type"] == "run_submitted").collect();
    let expected = serde_json::json!({"share": "Infra", "weight": 4, "priority": 7});
    assert_eq!(submitted[0]["standing"], expected);
    assert!(submitted[1].get("standing").is_none());
    let told = hall.scene.state.instance(InstanceId::from_u128(1)).unwrap().line();
    assert_eq!((told.share(), told.weight(), told.priority()), ("infra", 4, 7));
}

#[test]
fn a_snapshot_of_before_shares_is_read() {
    let mut hall = Hall::new(&["none"]);
    hall.submit(of("o/a", 3));
    let mut json = serde_json::to_value(&hall.scene.state).unwrap();
    for instance in json["instances"].as_array_mut().unwrap() {
        assert!(instance.as_object_mut().unwrap().remove("since").is_some());
    }
    let state: State = serde_json::from_value(json).unwrap();
    slipway_scheduler::invariant::check(&state).unwrap();
    let agent = scene::view(1, &["linux"]);
    assert_eq!(state.work_for(&agent, hall.scene.now), Some(InstanceId::from_u128(1)));
}

#[derive(Debug, Clone)]
struct Flood {
    share: usize,
    priority: i8,
    group: bool,
    arm64: bool,
    count: usize,
}

const REPOSITORIES: [&str; 5] = ["o/a", "o/b", "o/c", "p/d", "p/e"];

fn flood(priorities: std::ops::Range<i8>) -> impl Strategy<Value = Flood> {
    let what = (0..REPOSITORIES.len(), priorities, any::<bool>(), any::<bool>(), 1usize..8);
    what.prop_map(|(share, priority, group, arm64, count)| Flood { share, priority, group, arm64, count })
}

fn wanted(flood: &Flood, weights: &[u32]) -> Wanted {
    Wanted {
        repository: REPOSITORIES[flood.share],
        standing: Standing { share: None, weight: weights[flood.share], priority: flood.priority },
        group: flood.group.then_some(OWN),
        labels: if flood.arm64 { &["arm64"] } else { &["linux"] },
        count: flood.count,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Under saturation each share gets its weight, up to one turn.
    #[test]
    fn shares_get_their_weight(weights in vec(1u32..6, REPOSITORIES.len()), rounds in 2usize..6) {
        let mut hall = Hall::new(&["linux", "x64"]);
        let total: u32 = weights.iter().sum();
        for (share, weight) in weights.iter().enumerate() {
            // Half of it asks for more labels: a share has one turn, however many label sets it has.
            for (labels, part) in [(&["linux"][..], 0), (&["linux", "x64"], 1)] {
                let standing = Standing { weight: *weight, ..Standing::default() };
                let count = *weight as usize * (rounds + 1);
                let more = Wanted { repository: REPOSITORIES[share], standing, group: None, labels, count };
                prop_assert!(part < 2);
                hall.submit(more);
            }
        }
        let order = hall.repositories(rounds * total as usize);
        for (share, weight) in weights.iter().enumerate() {
            let got = order.iter().filter(|repository| **repository == REPOSITORIES[share]).count();
            prop_assert_eq!(got, rounds * *weight as usize);
        }
    }

    /// Whatever comes, every lease is fair (the hall checks), and everything is leased.
    #[test]
    fn nothing_starves(
        weights in vec(1u32..4, REPOSITORIES.len()),
        floods in vec((flood(-3..4), 0usize..6, 0u64..200_000), 1..30),
    ) {
        let mut hall = Hall::new(&["linux", "arm64"]);
        hall.agent(2, &["linux"], 1);
        for (flood, leases, pass_ms) in floods {
            hall.submit(wanted(&flood, &weights));
            hall.scene.pass(pass_ms);
            hall.order(leases);
        }
        hall.order(usize::MAX);
        prop_assert_eq!(hall.scene.state.waiting_len(), 0);
    }

    /// One that is the most urgent by its waiting is leased within a bound, whatever comes with higher priorities.
    #[test]
    fn the_most_urgent_is_leased_within_a_bound(floods in vec(flood(1..101), 20), warm_up in 1usize..9) {
        let mut hall = Hall::new(&["linux", "arm64"]);
        let weights = [1; REPOSITORIES.len()];
        hall.submit(of("o/a", warm_up));
        hall.order(warm_up);
        let low = hall.submit(urgent(-100, 1))[0];
        hall.scene.pass(300 * PRIORITY_POINT_MS);
        for (at, flood) in floods.iter().enumerate() {
            hall.submit(Wanted { group: None, count: 5, ..wanted(flood, &weights) });
            if hall.next() == Some(low) {
                prop_assert!(at < AGED_TURN_EVERY as usize);
                return Ok(());
            }
        }
        prop_assert!(false, "it was never leased");
    }

    /// The place that people are told is the place in which it is leased, while nothing else comes.
    #[test]
    fn the_position_is_the_true_one(
        weights in vec(1u32..4, REPOSITORIES.len()),
        floods in vec(flood(0..1), 1..12),
        served in 0usize..10,
    ) {
        let mut hall = Hall::new(&["linux", "arm64"]);
        for flood in &floods {
            hall.submit(wanted(flood, &weights));
        }
        hall.order(served);
        if hall.scene.state.waiting_len() == 0 {
            return Ok(());
        }
        hall.occupy();
        let told: BTreeMap<_, _> = (1..=hall.instances)
            .map(InstanceId::from_u128)
            .filter_map(|id| Some((hall.position(id)?, id)))
            .collect();
        let waiting = hall.scene.state.waiting_len();
        prop_assert_eq!(told.keys().copied().collect::<Vec<_>>(), (1..=waiting).collect::<Vec<_>>());
        let (lease, _) = hall.scene.state.leases().next().unwrap();
        hall.command(Command::Report(Report { lease, outcome: SUCCESS, records: 0, records_digest: None }));
        prop_assert_eq!(hall.order(waiting), told.into_values().collect::<Vec<_>>());
    }
}
