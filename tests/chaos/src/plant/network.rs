//! A network of network namespaces: each agent has one of its own, with a link to where the coordinators are, and packets
//! of a link can be dropped, in one direction or in both.

use std::process::Command;

use super::shell::{attempt, run};

/// What namespaces and chains of campaigns are called before the campaign's process id.
const PREFIX: &str = "slipway-chaos-";

/// What the hub's address is called before the campaign's process id.
const LABEL: &str = "lo:sc";

/// The nets that campaigns take: 10.200 and so on.
const FIRST_NET: u32 = 200;
const NETS: u32 = 50;

/// Which packets of an agent are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// From the agent.
    Up,
    /// To the agent.
    Down,
    /// All.
    Both,
}

pub(crate) struct Network {
    pid: u32,
    /// The first two numbers of all addresses.
    net: String,
    agents: usize,
}

impl Network {
    /// Makes namespaces for so many agents.
    pub(crate) fn of(agents: usize) -> Self {
        sweep();
        let pid = std::process::id();
        let network = Self { pid, net: free_net(pid), agents };
        for agent in 0..agents {
            network.join(agent);
        }
        let chain = network.chain();
        run("iptables", &["--wait", "-N", &chain]);
        for hook in ["INPUT", "OUTPUT"] {
            run("iptables", &["--wait", "-I", hook, "-j", &chain]);
        }
        network
    }

    fn join(&self, agent: usize) {
        let (namespace, outside) = (self.namespace(agent), format!("sc{}a{agent}", self.pid));
        let gateway = format!("{}.{}.1", self.net, agent + 1);
        run("ip", &["netns", "add", &namespace]);
        run("ip", &["link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", &namespace]);
        run("ip", &["address", "add", &format!("{gateway}/30"), "dev", &outside]);
        run("ip", &["link", "set", &outside, "up"]);
        let inside = |arguments: &[&str]| run("ip", &[&["-netns", &namespace], arguments].concat());
        inside(&["address", "add", &format!("{}/30", self.address(agent)), "dev", "eth0"]);
        inside(&["link", "set", "eth0", "up"]);
        inside(&["link", "set", "lo", "up"]);
        inside(&["route", "add", "default", "via", &gateway]);
    }

    /// Where the coordinators listen.
    pub(crate) fn hub(&self) -> String {
        format!("{}.0.1", self.net)
    }

    pub(crate) fn namespace(&self, agent: usize) -> String {
        format!("{PREFIX}{}-{agent}", self.pid)
    }

    fn address(&self, agent: usize) -> String {
        format!("{}.{}.2", self.net, agent + 1)
    }

    fn chain(&self) -> String {
        format!("{PREFIX}{}", self.pid)
    }

    /// Drops packets of one agent.
    pub(crate) fn cut(&self, agent: usize, cut: Cut) {
        let (chain, address) = (self.chain(), self.address(agent));
        let directions: &[&str] = match cut {
            Cut::Up => &["-s"],
            Cut::Down => &["-d"],
            Cut::Both => &["-s", "-d"],
        };
        for direction in directions {
            run("iptables", &["--wait", "-A", &chain, direction, &address, "-j", "DROP"]);
        }
    }

    /// Drops this share of all packets, at random.
    pub(crate) fn lose(&self, share: f64) {
        let (chain, net, share) = (self.chain(), format!("{}.0.0/16", self.net), share.to_string());
        let at_random = ["-m", "statistic", "--mode", "random", "--probability", &share, "-j", "DROP"];
        run("iptables", &[&["--wait", "-A", &chain, "-s", &net], &at_random[..]].concat());
    }

    /// Every packet arrives again.
    pub(crate) fn heal(&self) {
        run("iptables", &["--wait", "-F", &self.chain()]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove_chain(&self.chain());
        for agent in 0..self.agents {
            // Its link goes with it.
            attempt("ip", &["netns", "delete", &self.namespace(agent)]);
        }
        attempt("ip", &["address", "delete", &format!("{}/32", self.hub()), "dev", "lo"]);
    }
}

/// Takes a net that no other campaign has: the address of its hub belongs to this process from here on.
fn free_net(pid: u32) -> String {
    let nets = (0..NETS).map(|number| format!("10.{}", FIRST_NET + (pid + number) % NETS));
    let taken = nets.into_iter().find(|net| {
        let address = format!("{net}.0.1/32");
        let label = format!("{LABEL}{pid}");
        let add = ["address", "add", &address, "dev", "lo", "label", &label];
        Command::new("ip").args(add).output().is_ok_and(|output| output.status.success())
    });
    taken.unwrap_or_else(|| {
        panic!("none of {NETS} nets from 10.{FIRST_NET} on is free: see `ip address show lo`")
    })
}

fn remove_chain(chain: &str) {
    for hook in ["INPUT", "OUTPUT"] {
        attempt("iptables", &["--wait", "-D", hook, "-j", chain]);
    }
    for order in ["-F", "-X"] {
        attempt("iptables", &["--wait", order, chain]);
    }
}

/// Removes what campaigns left behind that were killed themselves.
fn sweep() {
    let dead = |name: &str| {
        let pid = name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok()?;
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then(|| name.to_owned())
    };
    let namespaces = run("ip", &["netns", "list"]);
    for name in namespaces.lines().filter_map(|line| dead(line.split_whitespace().next()?)) {
        attempt("ip", &["netns", "delete", &name]);
    }
    let addresses = run("ip", &["-oneline", "address", "show", "dev", "lo"]);
    for line in addresses.lines() {
        let mut words = line.split_whitespace();
        let address = words.by_ref().skip_while(|word| *word != "inet").nth(1);
        let label = words.find_map(|word| word.strip_prefix(LABEL));
        if let (Some(address), Some(pid)) = (address, label)
            && dead(&format!("{PREFIX}{}", pid.trim_end_matches('\\'))).is_some()
        {
            attempt("ip", &["address", "delete", address, "dev", "lo"]);
        }
    }
    let rules = run("iptables", &["--wait", "-S"]);
    for chain in rules.lines().filter_map(|line| dead(line.strip_prefix("-N ")?)) {
        remove_chain(&chain);
    }
}
