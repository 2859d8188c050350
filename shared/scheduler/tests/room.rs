//! Agents that count processors and memory: jobs of several sizes beside each other, and none that waits for good.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{RUN, SUCCESS, Scene, expansion};
use slipway_scheduler::command::{Command, LeaseRef, Report, Resolution, ResolveJob};
use slipway_scheduler::explain_wait;
use slipway_scheduler::fleet::{AgentProfile, Resources, Sizing};
use slipway_scheduler::limits::{LABELS_MAX, ROOM_PATIENCE_MS};
use slipway_scheduler::{AgentId, Event, Fleet, InstanceId, LabelSet, Uptime, WaitReason};

/// Processors and GiB.
fn amount(cpus: u64, gibibytes: u64) -> Resources {
    Resources { cpu_millis: cpus * 1_000, memory_bytes: gibibytes << 30 }
}

/// An agent of 8 processors and 16 GiB; most jobs take one of each, one for `large` 4 and 4, one for `hungry` 1 and 12.
fn profile(number: u128, slots: u32) -> AgentProfile {
    let sizes = [("large".to_owned(), amount(4, 4)), ("hungry".to_owned(), amount(1, 12))];
    AgentProfile {
        id: AgentId::from_u128(number),
        name: format!("agent {number}"),
        labels: LabelSet::new(["linux", "large", "hungry"]),
        slots,
        accepts_untrusted: false,
        sizing: Some(Sizing { total: amount(8, 16), each: amount(1, 1), sizes: sizes.into() }),
    }
}

struct Stage {
    scene: Scene,
    fleet: Fleet,
    instances: u128,
}

impl Stage {
    fn new(agents: &[AgentProfile]) -> Self {
        let (scene, mut fleet) = (Scene::new(), Fleet::new());
        for agent in agents {
            fleet.hello(&scene.state, agent.clone(), &[], Uptime(0)).unwrap();
        }
        Self { scene, fleet, instances: 0 }
    }

    fn command(&mut self, command: Command) -> Vec<Event> {
        let events = self.scene.run(command);
        events.iter().for_each(|event| self.fleet.observe(&self.scene.state, event, Uptime(0)));
        events
    }

    /// Jobs, each for `linux` and these labels; gives their instances.
    fn submit(&mut self, jobs: &[&[&str]]) -> Vec<InstanceId> {
        let run = slipway_scheduler::RunId::from_u128(RUN.0.as_u128() + self.instances);
        self.command(Command::Submit(Box::new(scene::submit(run, &["a"]))));
        let numbers: Vec<_> = (1..=jobs.len() as u128).map(|at| self.instances + at).collect();
        self.instances += jobs.len() as u128;
        let mut matrix = expansion(&numbers);
        for (instance, labels) in matrix.instances.iter_mut().zip(jobs) {
            instance.labels = LabelSet::new(labels.iter().copied().chain(["linux"]));
        }
        let resolution = Resolution::Instances(matrix);
        self.command(Command::ResolveJob(ResolveJob { run, job: "a".into(), cancelled: false, resolution }));
        numbers.into_iter().map(InstanceId::from_u128).collect()
    }

    /// Grants what there is room for; gives the leases and whose they are.
    fn grant_all(&mut self) -> Vec<(LeaseRef, u128)> {
        let mut granted = Vec::new();
        while let Some(grant) = self.fleet.next_grant(&self.scene.state, self.scene.now) {
            let agent = grant.agent.id.0.as_u128();
            let events = self.command(Command::Grant(grant));
            assert_eq!(self.fleet.overcommitted(), None);
            granted.extend(scene::leases(&events).into_iter().map(|lease| (lease, agent)));
        }
        granted
    }

    fn granted(&mut self) -> Vec<InstanceId> {
        self.grant_all().into_iter().map(|(lease, _)| lease.instance).collect()
    }

    fn finish(&mut self, lease: LeaseRef) {
        self.command(Command::Report(Report { lease, outcome: SUCCESS, records: 0, records_digest: None }));
    }

    fn wait(&self, id: InstanceId) -> Option<WaitReason> {
        explain_wait(&self.scene.state, &self.fleet, id, self.scene.now)
    }
}

#[test]
fn a_job_begins_where_there_is_a_slot_and_room_for_its_size() {
    let mut stage = Stage::new(&[profile(1, 10)]);
    let jobs = stage.submit(&[&["large"], &["large"], &["large"], &[]]);
    // Two large ones take all processors.
    let granted = stage.grant_all();
    assert_eq!(granted.iter().map(|(lease, _)| lease.instance).collect::<Vec<_>>(), jobs[..2]);
    let agent = stage.fleet.agent(AgentId::from_u128(1)).unwrap();
    assert_eq!((agent.free_slots, agent.used, agent.slots_taken()), (0, amount(8, 8), 10));
    let wait = stage.wait(jobs[2]).unwrap();
    assert_eq!(
        wait.to_string(),
        "no agent with its labels has 4 processors and 4 GiB free, position 1",
        "{wait:?}"
    );
    assert!(!wait.is_hopeless());
    assert!(matches!(stage.wait(jobs[3]), Some(WaitReason::NoRoom { cpu_millis: 1_000, position: 2, .. })));
    // One ends: the next large one takes its place, and no small one is in its way.
    stage.finish(granted[0].0);
    assert_eq!(stage.wait(jobs[2]), Some(WaitReason::Imminent));
    assert_eq!(stage.granted(), [jobs[2]]);
    stage.finish(granted[1].0);
    assert_eq!(stage.granted(), [jobs[3]]);
    let agent = stage.fleet.agent(AgentId::from_u128(1)).unwrap();
    assert_eq!((agent.free_slots, agent.used), (3, amount(5, 5)));
}

#[test]
fn memory_counts_as_processors_do_and_of_two_sizes_the_greater() {
    let mut stage = Stage::new(&[profile(1, 10)]);
    let jobs = stage.submit(&[&["hungry"], &["large", "hungry"], &["large"], &[]]);
    // 12 GiB are taken: not 12 more, but 4; that is a large one's. Then nothing is left.
    assert_eq!(stage.granted(), [jobs[0], jobs[2]]);
    assert!(matches!(
        stage.wait(jobs[1]),
        Some(WaitReason::NoRoom { cpu_millis: 4_000, memory_bytes, .. }) if memory_bytes == 12 << 30
    ));
}

#[test]
fn slots_bound_however_much_room_there_is() {
    let mut stage = Stage::new(&[profile(1, 2)]);
    let jobs = stage.submit(&[&[], &[], &[]]);
    assert_eq!(stage.granted(), jobs[..2]);
    assert!(matches!(stage.wait(jobs[2]), Some(WaitReason::AgentsBusy { slots: 2, .. })));
}

#[test]
fn a_large_job_waits_for_room_no_longer_than_its_patience_lasts_and_keeps_one_agent_free() {
    let mut stage = Stage::new(&[profile(1, 8), profile(2, 8)]);
    let mut small: Vec<_> = stage.submit(&[&[] as &[&str]; 16]);
    let mut running = stage.grant_all();
    assert_eq!(running.len(), 16);
    let large = stage.submit(&[&["large"]])[0];
    small.extend(stage.submit(&[&[] as &[&str]; 40]));
    // One ends after the other, on this agent and that; at first small ones take its place.
    let step = |stage: &mut Stage, running: &mut Vec<(LeaseRef, u128)>| {
        let (lease, _) = running.remove(0);
        stage.finish(lease);
        let granted = stage.grant_all();
        running.extend(granted.clone());
        granted.into_iter().map(|(lease, agent)| (lease.instance, agent)).collect::<Vec<_>>()
    };
    for _ in 0..6 {
        let granted = step(&mut stage, &mut running);
        assert!(granted.len() == 1 && granted[0].0 != large, "{granted:?}");
    }
    stage.scene.pass(ROOM_PATIENCE_MS);
    let (mut begun, mut by_agent) = (None, [0; 3]);
    for round in 0..20 {
        for (instance, agent) in step(&mut stage, &mut running) {
            by_agent[agent as usize] += 1;
            if instance == large {
                begun.get_or_insert((round, agent));
            }
        }
        if begun.is_some() {
            break;
        }
    }
    let (round, agent) = begun.expect("it never began");
    // Four have to end on one of the two, and of the first eight to end four do.
    assert!(round < 8, "{round}");
    assert!(by_agent[3 - agent as usize] > 0, "the other agent went on: {by_agent:?}");
    assert_eq!(by_agent[agent as usize], 1, "this one took nothing else: {by_agent:?}");
}

#[test]
fn an_agent_that_comes_back_knows_what_its_jobs_take() {
    let mut stage = Stage::new(&[profile(1, 8)]);
    let jobs = stage.submit(&[&["large"], &[], &["large"]]);
    let granted = stage.grant_all();
    assert_eq!(granted.len(), 2);
    // A new leader hears of the leases first and of the agent later.
    stage.fleet = Fleet::recover(&stage.scene.state, Uptime(0), stage.scene.now);
    let held: Vec<_> = granted.iter().map(|(lease, _)| *lease).collect();
    stage.fleet.hello(&stage.scene.state, profile(1, 8), &held, Uptime(0)).unwrap();
    assert_eq!(stage.fleet.agent(AgentId::from_u128(1)).unwrap().used, amount(5, 5));
    assert!(matches!(stage.wait(jobs[2]), Some(WaitReason::NoRoom { .. })));
    // It may come back smaller than what it runs: then it gets nothing, and nothing is taken from it.
    let mut smaller = profile(1, 8);
    smaller.sizing.as_mut().unwrap().total = amount(4, 16);
    stage.fleet.hello(&stage.scene.state, smaller, &held, Uptime(0)).unwrap();
    assert_eq!(stage.granted(), []);
    assert_eq!(stage.fleet.agent(AgentId::from_u128(1)).unwrap().free_slots, 0);
    assert!(stage.fleet.overcommitted().is_some());
    // Without sizes slots count alone.
    stage
        .fleet
        .hello(&stage.scene.state, AgentProfile { sizing: None, ..profile(1, 8) }, &held, Uptime(0))
        .unwrap();
    assert_eq!(stage.granted(), [jobs[2]]);
}

#[test]
fn no_more_sizes_are_looked_at_than_an_agent_may_have_labels() {
    let mut many = profile(1, 1);
    let sizes = (0..LABELS_MAX * 2).map(|number| (format!("size-{number:04}"), amount(2, 2)));
    many.sizing.as_mut().unwrap().sizes = sizes.collect();
    let stage = Stage::new(&[many]);
    let agent = stage.fleet.agent(AgentId::from_u128(1)).unwrap();
    assert_eq!(agent.profile.sizing.as_ref().unwrap().sizes.len(), LABELS_MAX);
}

#[test]
fn a_job_is_worth_the_slots_that_have_what_it_takes() {
    let agent = profile(1, 4);
    for (labels, worth) in
        [(&["linux"] as &[&str], 1), (&["large"], 2), (&["hungry"], 3), (&["large", "hungry"], 3)]
    {
        assert_eq!(agent.slots_worth(&LabelSet::new(labels)), worth, "{labels:?}");
    }
    assert_eq!(AgentProfile { sizing: None, ..agent }.slots_worth(&LabelSet::new(["large"])), 1);
}
