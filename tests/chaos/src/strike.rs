//! How each blow is dealt, and how the plant is given back what it needs to recover.

use std::time::Duration;

use fastrand::Rng;

use crate::fault::Fault;
use crate::plant::{Cut, LEASE, Plant};

/// How much longer than a lease something stays away that is to lose it.
const AND_MORE: Duration = Duration::from_secs(3);

/// How long disks stay full and packets get lost.
const TROUBLE_MS: std::ops::Range<u64> = 500..4_000;

/// The share of packets that get lost when some do.
const LOST_SHARE: f64 = 0.33;

/// Deals one blow and ends what it did; how the plant recovers is not waited for.
pub(crate) fn strike(plant: &mut Plant, fault: Fault, random: &mut Rng) {
    let agent = random.usize(0..plant.agents.len());
    let trouble = Duration::from_millis(random.u64(TROUBLE_MS));
    match fault {
        Fault::AgentKilled => plant.agents[agent].kill(false),
        Fault::AgentGone => {
            plant.agents[agent].kill(true);
            plant.pass(LEASE + AND_MORE);
            plant.agents[agent].release();
        }
        Fault::AgentFrozen => {
            plant.agents[agent].signal("-STOP");
            plant.pass(LEASE + AND_MORE);
            plant.agents[agent].signal("-CONT");
        }
        Fault::LeaderKilled => {
            let leader = plant.leader();
            plant.coordinators[leader].kill(false);
        }
        Fault::FollowerKilled => {
            let leader = plant.leader();
            let others = plant.coordinators.len() - 1;
            let follower = (leader + 1 + random.usize(0..others)) % plant.coordinators.len();
            plant.coordinators[follower].kill(false);
        }
        Fault::LeaderFrozen => {
            let leader = plant.leader();
            plant.coordinators[leader].signal("-STOP");
            plant.until("another one leads", |plant| {
                plant.door().leader().is_some_and(|number| number != leader)
            });
            plant.pass(trouble);
            plant.coordinators[leader].signal("-CONT");
            plant.until("the one that was replaced ends", |plant| !plant.coordinators[leader].runs());
        }
        Fault::PowerCut => {
            for member in plant.coordinators.iter_mut().chain(&mut plant.agents) {
                member.kill(false);
            }
        }
        Fault::DatabaseKilled => plant.database().crash(),
        Fault::DatabasePromoted => {
            plant.database().fail_over();
            plant.pass(trouble);
            plant.database().mend();
        }
        Fault::DatabaseDiskFull => {
            plant.database().disk().fill();
            plant.pass(trouble);
            plant.database().disk().empty();
            plant.database().revive();
        }
        Fault::CacheGone => {
            plant.cache.kill();
            plant.pass(trouble);
            plant.cache.resume();
        }
        Fault::CacheFrozen => {
            plant.cache.signal("-STOP");
            plant.pass(trouble);
            plant.cache.signal("-CONT");
        }
        Fault::LinkCut => {
            let cut = [Cut::Up, Cut::Down, Cut::Both][random.usize(0..3)];
            // Sometimes it comes back before the lease ends, sometimes after.
            let most = u64::try_from((LEASE + AND_MORE).as_millis()).unwrap_or(u64::MAX);
            plant.network.cut(agent, cut);
            plant.pass(Duration::from_millis(random.u64(1_000..most)));
            plant.network.heal();
        }
        Fault::PacketsLost => {
            plant.network.lose(LOST_SHARE);
            plant.pass(trouble);
            plant.network.heal();
        }
        Fault::AgentDiskFull => {
            plant.agent_disk(agent).fill();
            plant.pass(trouble);
            plant.agent_disk(agent).empty();
        }
        Fault::ObjectsDiskFull => {
            plant.objects().fill();
            plant.pass(trouble);
            plant.objects().empty();
        }
        Fault::ContainerKilled => {
            plant.until("there is a container", |plant| match plant.containers().as_slice() {
                [] => false,
                containers => {
                    let chosen = &containers[random.usize(0..containers.len())];
                    // It may just have ended by itself; then another one is looked for.
                    std::process::Command::new("docker")
                        .args(["kill", chosen])
                        .output()
                        .is_ok_and(|output| output.status.success())
                }
            });
        }
    }
}
