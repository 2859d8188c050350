//! Whether the kernel killed something of a container for memory.
//!
//! Init survives (its steps are the kernel's first choice), so the engine does not call the *container* killed for
//! memory. The container's control group counts the kills; it is read before and after a step.

use std::path::PathBuf;

/// How many processes of the group of `pid` (as the host sees it) were killed for memory so far. None when the kernel
/// does not tell, for instance when the container has ended.
#[must_use]
pub fn oom_kills(pid: u32) -> Option<u64> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let text = std::fs::read_to_string(counter_file(&groups)?).ok()?;
    parse_kills(&text)
}

/// The file with the counter: `memory.oom_control` of version 1, `memory.events` of version 2.
fn counter_file(groups: &str) -> Option<PathBuf> {
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        if controllers.split(',').any(|name| name == "memory") {
            return Some(PathBuf::from("/sys/fs/cgroup/memory").join(path).join("memory.oom_control"));
        }
    }
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from("/sys/fs/cgroup").join(path).join("memory.events"))
}

fn parse_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_read() {
        let one = "11:memory:/docker/abc\n10:pids:/docker/abc\n";
        assert_eq!(
            counter_file(one),
            Some(PathBuf::from("/sys/fs/cgroup/memory/docker/abc/memory.oom_control"))
        );
        let two = "0::/system.slice/docker-abc.scope\n";
        assert_eq!(
            counter_file(two),
            Some(PathBuf::from("/sys/fs/cgroup/system.slice/docker-abc.scope/memory.events"))
        );
        assert_eq!(parse_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(parse_kills("low 0\noom 1\noom_kill 1\n"), Some(1));
        assert_eq!(parse_kills(""), None);
    }
}
