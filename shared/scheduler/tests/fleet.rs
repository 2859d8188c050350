//! Sessions, lease clocks, matching, and why something waits.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{RUN, SUCCESS, Scene, expansion, submit};
use slipway_scheduler::command::{Command, Expire, LeaseRef, Resolution, Trust};
use slipway_scheduler::fleet::{AgentProfile, Hello};
use slipway_scheduler::limits::{CANCEL_MS, LEASE_MS, TIMEOUT_MARGIN_MS};
use slipway_scheduler::{AgentId, Event, Fleet, FleetCause, InstanceId, LabelSet, Uptime, WaitReason};
use slipway_scheduler::{explain_job, explain_wait};

fn profile(number: u128, labels: &[&str], slots: u32) -> AgentProfile {
    AgentProfile {
        id: AgentId::from_u128(number),
        name: format!("agent {number}"),
        labels: LabelSet::new(labels),
        slots,
        accepts_untrusted: false,
        sizing: None,
    }
}

struct Stage {
    scene: Scene,
    fleet: Fleet,
    uptime: Uptime,
}

impl Stage {
    fn new(numbers: &[u128]) -> Self {
        let mut scene = Scene::with(&["a"]);
        scene.expand("a", numbers);
        Self { scene, fleet: Fleet::new(), uptime: Uptime(1_000) }
    }

    fn hello(&mut self, profile: AgentProfile, held: &[LeaseRef]) -> Hello {
        self.fleet.hello(&self.scene.state, profile, held, self.uptime).unwrap()
    }

    fn run(&mut self, command: Command) -> Vec<Event> {
        let events = self.scene.run(command);
        for event in &events {
            self.fleet.observe(&self.scene.state, event, self.uptime);
        }
        events
    }

    /// Grants until nobody is free or nothing waits; gives the agents in order.
    fn grant_all(&mut self) -> Vec<(LeaseRef, AgentId)> {
        let mut granted = Vec::new();
        while let Some(grant) = self.fleet.next_grant(&self.scene.state, self.scene.now) {
            let agent = grant.agent.id;
            let events = self.run(Command::Grant(grant));
            granted.extend(scene::leases(&events).into_iter().map(|lease| (lease, agent)));
        }
        granted
    }

    fn wait(&self, number: u128) -> Option<WaitReason> {
        explain_wait(&self.scene.state, &self.fleet, InstanceId::from_u128(number), self.scene.now)
    }
}

#[test]
fn leases_go_to_the_emptiest_agent_that_offers_least() {
    let mut stage = Stage::new(&[1, 2, 3, 4, 5]);
    stage.hello(profile(1, &["linux", "gpu"], 8), &[]);
    stage.hello(profile(2, &["linux"], 1), &[]);
    stage.hello(profile(3, &["linux"], 2), &[]);
    stage.hello(profile(4, &["windows"], 2), &[]);
    let agents: Vec<_> = stage.grant_all().into_iter().map(|(_, agent)| agent).collect();
    assert_eq!(agents, [3, 2, 3, 1, 1].map(AgentId::from_u128));
    assert_eq!(stage.fleet.agent(AgentId::from_u128(3)).unwrap().free_slots, 0);
}

#[test]
fn a_drained_or_disconnected_agent_gets_nothing() {
    let mut stage = Stage::new(&[1]);
    let session = stage.hello(profile(1, &["linux"], 1), &[]).session;
    stage.fleet.set_draining(AgentId::from_u128(1), true);
    assert_eq!(stage.grant_all(), []);
    assert_eq!(stage.wait(1), Some(WaitReason::AgentsDraining));
    stage.fleet.set_draining(AgentId::from_u128(1), false);
    stage.fleet.disconnect(AgentId::from_u128(1), session + 1);
    assert!(
        stage.fleet.next_grant(&stage.scene.state, stage.scene.now).is_some(),
        "an old session's end is no news"
    );
    stage.fleet.disconnect(AgentId::from_u128(1), session);
    assert_eq!(stage.grant_all(), []);
    assert!(stage.fleet.remove(AgentId::from_u128(1)));
}

#[test]
fn an_agent_that_takes_nothing_for_now_gets_nothing_and_waiting_jobs_say_why() {
    let mut stage = Stage::new(&[1]);
    let (id, why) = (AgentId::from_u128(1), "low disk: 1.2 GiB free of 40 GiB at /");
    stage.hello(profile(1, &["linux"], 1), &[]);
    stage.fleet.set_paused(id, Some(why.to_owned()));
    assert_eq!(stage.grant_all(), []);
    let reason = stage.wait(1).unwrap();
    let agent = stage.fleet.agent(id).unwrap();
    let name = agent.profile.name.clone();
    assert_eq!((agent.paused, agent.free_slots), (Some(why), 0));
    let said = format!("no agent with its labels takes new jobs now; {name}: {why}");
    assert_eq!(reason.to_string(), said);
    assert!(!reason.is_hopeless());
    // What an admin says about draining changes nothing about it.
    stage.fleet.set_draining(id, true);
    assert_eq!(stage.wait(1), Some(WaitReason::AgentsDraining));
    stage.fleet.set_draining(id, false);
    assert_eq!(stage.grant_all(), []);
    stage.fleet.set_paused(id, None);
    assert_eq!(stage.grant_all().len(), 1);
}

#[test]
fn a_new_session_takes_jobs_until_it_says_otherwise() {
    let mut stage = Stage::new(&[1]);
    stage.hello(profile(1, &["linux"], 1), &[]);
    stage.fleet.set_paused(AgentId::from_u128(1), Some("low disk".to_owned()));
    stage.hello(profile(1, &["linux"], 1), &[]);
    assert_eq!(stage.grant_all().len(), 1);
}

#[test]
fn an_agent_that_declines_gets_nothing_until_it_is_heard_of_again() {
    let mut stage = Stage::new(&[1, 2, 3]);
    let session = stage.hello(profile(1, &["linux"], 2), &[]).session;
    let granted = stage.grant_all();
    assert_eq!(granted.len(), 2);
    stage.run(Command::Decline(granted[1].0));
    assert_eq!(stage.grant_all(), [], "instance 3 waits, but the agent says that it is full");
    assert!(matches!(stage.wait(3), Some(WaitReason::AgentsBusy { .. })));
    stage.fleet.renew(AgentId::from_u128(1), session, &[granted[0].0], stage.uptime).unwrap();
    let next = stage.grant_all();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].0.instance, InstanceId::from_u128(3), "not the one that it has just declined");

    stage.run(Command::Decline(next[0].0));
    stage.run(Command::Report(slipway_scheduler::command::Report {
        lease: granted[0].0,
        outcome: SUCCESS,
        records: 0,
        records_digest: None,
    }));
    stage.scene.pass(slipway_scheduler::limits::AVOID_AGENT_MS);
    assert_eq!(stage.grant_all().len(), 2, "one of its leases ended: there is room");
}

#[test]
fn a_lease_ends_when_it_is_not_renewed() {
    let mut stage = Stage::new(&[1]);
    let agent = AgentId::from_u128(1);
    let session = stage.hello(profile(1, &["linux"], 1), &[]).session;
    let (lease, _) = stage.grant_all()[0];
    assert_eq!(stage.fleet.next_wakeup(), Some(stage.uptime.after(LEASE_MS)));
    // The time counts from the check, not from when its answer went out.
    let renewal = stage.fleet.renew(agent, session, &[lease], stage.uptime.after(10_000)).unwrap();
    assert_eq!(
        (renewal.renewed[0].lease, renewal.renewed[0].lease_ms, renewal.stop),
        (lease, LEASE_MS, vec![])
    );
    let end = stage.uptime.after(10_000 + LEASE_MS);
    assert_eq!(stage.fleet.due(Uptime(end.0 - 1)), []);
    let expired = |cause| vec![Command::Expire(Expire { lease, cause })];
    assert_eq!(stage.fleet.clone().due(end), expired(FleetCause::LeaseExpired));
    stage.fleet.disconnect(agent, session);
    assert_eq!(stage.fleet.due(end), expired(FleetCause::AgentLost));
    assert_eq!(stage.fleet.due(end), [], "named again only a little later");
    assert!(stage.fleet.next_wakeup().unwrap() > end);
    assert_eq!(stage.fleet.renew(agent, session, &[lease], end), None, "no session");
}

#[test]
fn a_renewal_never_shortens_a_lease() {
    let mut stage = Stage::new(&[1]);
    let session = stage.hello(profile(1, &["linux"], 1), &[]).session;
    let (lease, agent) = stage.grant_all()[0];
    stage.fleet.renew(agent, session, &[lease], Uptime(50_000)).unwrap();
    stage.fleet.renew(agent, session, &[lease], Uptime(20_000)).unwrap();
    assert_eq!(stage.fleet.deadline(&lease), Some(Uptime(50_000 + LEASE_MS)));
}

#[test]
fn a_returning_agent_keeps_what_is_its_own() {
    let mut stage = Stage::new(&[1, 2]);
    stage.hello(profile(1, &["linux"], 1), &[]);
    stage.hello(profile(2, &["linux"], 1), &[]);
    let granted = stage.grant_all();
    let (mine, _) = *granted.iter().find(|(_, agent)| *agent == AgentId::from_u128(1)).unwrap();
    let (others, _) = *granted.iter().find(|(_, agent)| *agent == AgentId::from_u128(2)).unwrap();
    let hello = stage.hello(profile(1, &["linux"], 1), &[mine, others]);
    assert_eq!(hello.keep.iter().map(|kept| kept.lease).collect::<Vec<_>>(), [mine]);
    assert_eq!((hello.stop, hello.assign, hello.lost), (vec![others], vec![], vec![]));
}

#[test]
fn an_agent_without_its_lease_is_told_again_or_has_lost_it() {
    let mut stage = Stage::new(&[1]);
    stage.hello(profile(1, &["linux"], 1), &[]);
    let (lease, agent) = stage.grant_all()[0];
    // Never seen with it: the assignment was lost.
    assert_eq!(stage.hello(profile(1, &["linux"], 1), &[]).assign, [lease]);
    // Seen with it once, and then without.
    let session = stage.hello(profile(1, &["linux"], 1), &[lease]).session;
    assert!(stage.fleet.is_current(agent, session));
    let hello = stage.hello(profile(1, &["linux"], 1), &[]);
    let cause = FleetCause::AgentLost;
    assert_eq!((hello.lost, hello.assign), (vec![Command::Expire(Expire { lease, cause })], vec![]));
}

#[test]
fn a_strict_lease_runs_to_its_end_whatever_a_hello_says() {
    let mut stage = Stage::new(&[9]);
    stage.scene = Scene::with(&["a"]);
    let mut strict = expansion(&[1]);
    strict.instances[0].strict = true;
    stage.scene.resolve("a", Resolution::Instances(strict));
    let session = stage.hello(profile(1, &["linux"], 1), &[]).session;
    let (lease, agent) = stage.grant_all()[0];
    stage.fleet.renew(agent, session, &[lease], stage.uptime).unwrap();
    let hello = stage.hello(profile(1, &["linux"], 1), &[]);
    assert_eq!((hello.lost, hello.assign), (vec![], vec![]));
    assert_eq!(stage.fleet.due(stage.uptime.after(LEASE_MS)).len(), 1);
}

#[test]
fn a_new_leader_counts_every_lease_as_renewed() {
    let mut stage = Stage::new(&[1]);
    stage.hello(profile(1, &["linux"], 1), &[]);
    let (lease, agent) = stage.grant_all()[0];
    let extend = slipway_scheduler::command::ExtendLease { lease, lease_ms: 600_000 };
    stage.run(Command::ExtendLease(extend));
    // Another process, another clock.
    let fleet = Fleet::recover(&stage.scene.state, Uptime(5), stage.scene.now);
    assert_eq!(fleet.watched().collect::<Vec<_>>(), [(lease, agent)]);
    assert_eq!(fleet.deadline(&lease), Some(Uptime(5 + 600_000)));
    assert_eq!(fleet.agents().count(), 0);
}

#[test]
fn a_job_far_beyond_its_time_is_ended() {
    let mut stage = Stage::new(&[1]);
    let session = stage.hello(profile(1, &["linux"], 1), &[]).session;
    let (lease, agent) = stage.grant_all()[0];
    let limit = stage.uptime.after(60_000 + TIMEOUT_MARGIN_MS);
    stage.fleet.renew(agent, session, &[lease], limit).unwrap();
    assert_eq!(stage.fleet.due(limit), [Command::TimeOutInstance(lease)]);
    // Asked to cancel, it has less time.
    stage.run(Command::Cancel(slipway_scheduler::command::Cancel {
        run: RUN,
        actor: String::new(),
        reason: String::new(),
    }));
    assert!(stage.fleet.due(stage.uptime.after(CANCEL_MS)).contains(&Command::TimeOutInstance(lease)));
    stage.run(Command::TimeOutInstance(lease));
    assert_eq!((stage.fleet.watched().count(), stage.fleet.next_wakeup()), (0, None));
}

#[test]
fn why_an_instance_waits() {
    let mut stage = Stage::new(&[1, 2]);
    assert_eq!(stage.wait(1), Some(WaitReason::NoAgents));
    stage.hello(profile(1, &["windows", "x64"], 1), &[]);
    let missing = vec!["linux".to_owned()];
    assert_eq!(stage.wait(1), Some(WaitReason::NoAgentWithLabels { missing }));
    assert!(stage.wait(1).unwrap().is_hopeless());
    stage.hello(profile(2, &["linux"], 1), &[]);
    assert_eq!(stage.wait(1), Some(WaitReason::Imminent));
    let (lease, _) = stage.grant_all()[0];
    assert_eq!(stage.wait(1), None);
    let labels = LabelSet::new(["linux"]);
    let busy = WaitReason::AgentsBusy { agents: 1, slots: 1, labels, position: 1, expected_s: None };
    assert_eq!(stage.wait(2), Some(busy));
    let cause = FleetCause::DiskFull;
    stage.run(Command::Expire(Expire { lease, cause }));
    let until = stage.scene.now.after(5_000);
    assert_eq!(stage.wait(1), Some(WaitReason::Backoff { until, cause: Some(cause) }));
}

#[test]
fn why_a_job_waits() {
    let mut scene = Scene::with(&["a", "b: a"]);
    let jobs = vec!["a".into()];
    assert_eq!(explain_job(&scene.state, RUN, "b"), Some(WaitReason::Needs { jobs }));
    assert_eq!(explain_job(&scene.state, RUN, "a"), Some(WaitReason::Planning));
    scene.finish("a", &[(1, SUCCESS)]);
    assert_eq!(explain_job(&scene.state, RUN, "a"), None);
}

#[test]
fn an_untrusted_run_says_that_no_agent_accepts_it() {
    let mut scene = Scene::new();
    let mut outside = submit(RUN, &["a"]);
    outside.meta.trust = Trust::Untrusted;
    scene.run(Command::Submit(Box::new(outside)));
    scene.expand("a", &[1]);
    let mut fleet = Fleet::new();
    fleet.hello(&scene.state, profile(1, &["linux"], 1), &[], Uptime(0)).unwrap();
    let reason = explain_wait(&scene.state, &fleet, InstanceId::from_u128(1), scene.now);
    assert_eq!(reason, Some(WaitReason::NoAgentForUntrusted));
}

#[test]
fn a_time_limit_counts_from_the_lease_of_the_attempt_and_never_from_the_queue() {
    let mut stage = Stage::new(&[1]);
    let total_ms = 60_000 + TIMEOUT_MARGIN_MS;
    // It waits longer than it may take.
    stage.scene.pass(2 * total_ms);
    stage.uptime = stage.uptime.after(2 * total_ms);
    let id = AgentId::from_u128(1);
    let session = stage.hello(profile(1, &["linux"], 1), &[]).session;
    let (first, _) = stage.grant_all()[0];
    let begun = stage.uptime;
    stage.fleet.renew(id, session, &[first], begun.after(total_ms - 1)).unwrap();
    assert_eq!(stage.fleet.due(begun.after(total_ms - 1)), []);
    assert_eq!(stage.fleet.due(begun.after(total_ms)), [Command::TimeOutInstance(first)]);
    // A new attempt has all of its time again, also for a leader that begins meanwhile.
    stage.run(Command::Expire(Expire { lease: first, cause: FleetCause::LeaseExpired }));
    let half_ms = total_ms / 2;
    stage.scene.pass(total_ms);
    stage.uptime = begun.after(total_ms);
    let (second, _) = stage.grant_all()[0];
    let mut fleet = Fleet::recover(&stage.scene.state, Uptime(7), stage.scene.now.after(half_ms));
    let limit = Uptime(7).after((total_ms - half_ms).max(TIMEOUT_MARGIN_MS));
    let due = fleet.due(limit);
    assert!(due.contains(&Command::TimeOutInstance(second)), "{due:?}");
    let mut fleet = Fleet::recover(&stage.scene.state, Uptime(7), stage.scene.now);
    assert!(!fleet.due(Uptime(7).after(total_ms - 1)).contains(&Command::TimeOutInstance(second)));
}
