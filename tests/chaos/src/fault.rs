//! What a campaign does to the plant.

/// A kind of blow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    AgentKilled,
    AgentGone,
    AgentFrozen,
    LeaderKilled,
    FollowerKilled,
    LeaderFrozen,
    PowerCut,
    DatabaseKilled,
    DatabasePromoted,
    LinkCut,
    PacketsLost,
    AgentDiskFull,
    ObjectsDiskFull,
    ContainerKilled,
    DatabaseDiskFull,
    CacheGone,
    CacheFrozen,
}

impl Fault {
    pub(crate) const ALL: [Self; 17] = [
        Self::AgentKilled,
        Self::AgentGone,
        Self::AgentFrozen,
        Self::LeaderKilled,
        Self::FollowerKilled,
        Self::LeaderFrozen,
        Self::PowerCut,
        Self::DatabaseKilled,
        Self::DatabasePromoted,
        Self::LinkCut,
        Self::PacketsLost,
        Self::AgentDiskFull,
        Self::ObjectsDiskFull,
        Self::ContainerKilled,
        Self::DatabaseDiskFull,
        Self::CacheGone,
        Self::CacheFrozen,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AgentKilled => "agent-killed",
            Self::AgentGone => "agent-gone",
            Self::AgentFrozen => "agent-frozen",
            Self::LeaderKilled => "leader-killed",
            Self::FollowerKilled => "follower-killed",
            Self::LeaderFrozen => "leader-frozen",
            Self::PowerCut => "power-cut",
            Self::DatabaseKilled => "database-killed",
            Self::DatabasePromoted => "database-promoted",
            Self::LinkCut => "link-cut",
            Self::PacketsLost => "packets-lost",
            Self::AgentDiskFull => "agent-disk-full",
            Self::ObjectsDiskFull => "objects-disk-full",
            Self::ContainerKilled => "container-killed",
            Self::DatabaseDiskFull => "database-disk-full",
            Self::CacheGone => "cache-gone",
            Self::CacheFrozen => "cache-frozen",
        }
    }

    /// For a person.
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::AgentKilled => "kill -9 of an agent, which starts again",
            Self::AgentGone => "kill -9 of an agent, which stays away longer than a lease",
            Self::AgentFrozen => "SIGSTOP of an agent for longer than a lease",
            Self::LeaderKilled => "kill -9 of the coordinator that leads",
            Self::FollowerKilled => "kill -9 of a coordinator that follows",
            Self::LeaderFrozen => "SIGSTOP of the coordinator that leads, until another one does",
            Self::PowerCut => "kill -9 of all coordinators and agents at once",
            Self::DatabaseKilled => "kill -9 of PostgreSQL, which recovers",
            Self::DatabasePromoted => "kill -9 of PostgreSQL; its synchronous stand-by is promoted",
            Self::LinkCut => "packets of an agent dropped, one way or both, for up to longer than a lease",
            Self::PacketsLost => "a third of all agents' packets dropped",
            Self::AgentDiskFull => "an agent's disk full",
            Self::ObjectsDiskFull => "the disk of logs and blobs full",
            Self::ContainerKilled => "kill -9 of a job's container",
            Self::DatabaseDiskFull => "the disk of PostgreSQL's primary full",
            Self::CacheGone => {
                "kill -9 of the cache's Redis, which stays away for a while and has forgotten all"
            }
            Self::CacheFrozen => "SIGSTOP of the cache's Redis for a while",
        }
    }

    /// Whether it needs several coordinators, or the database that they share.
    pub(crate) const fn needs_several(self) -> bool {
        matches!(
            self,
            Self::FollowerKilled
                | Self::LeaderFrozen
                | Self::DatabaseKilled
                | Self::DatabasePromoted
                | Self::DatabaseDiskFull
        )
    }

    /// How often it comes, as a share of all. What takes longest comes seldom.
    pub(crate) const fn weight(self) -> u32 {
        match self {
            Self::AgentKilled => 24,
            Self::LeaderKilled => 18,
            Self::FollowerKilled | Self::ContainerKilled => 10,
            Self::PowerCut | Self::DatabaseKilled => 6,
            Self::AgentDiskFull | Self::ObjectsDiskFull | Self::PacketsLost => 5,
            Self::LinkCut => 4,
            Self::AgentGone | Self::AgentFrozen | Self::LeaderFrozen => 3,
            Self::DatabasePromoted | Self::CacheGone | Self::CacheFrozen | Self::DatabaseDiskFull => 4,
        }
    }
}
