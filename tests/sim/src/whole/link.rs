//! Connections between agents and coordinators: each direction in order, like TCP, until it breaks.
//!
//! What was sent over a connection that its sender gave up may still arrive, also after what was sent over the next one: that is
//! how messages overtake each other in earnest. Harsher networks are in [`crate::scheduler`].

use slipway_coordinator::driver::FromAgent;
use slipway_coordinator::driver::message::ToAgent;
use slipway_coordinator::driver::stepped::Answered;
use slipway_scheduler::Uptime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;

/// What goes up a connection.
#[derive(Debug, Clone)]
pub(crate) enum Up {
    /// The first message.
    Hello(Box<slipway_coordinator::driver::AgentHello>),
    /// Any other.
    Said(Box<FromAgent>),
    /// The agent closed it.
    Closed,
}

/// What comes down.
#[derive(Debug, Clone)]
pub(crate) enum Down {
    /// From the driver.
    Told(Box<ToAgent>),
    /// The coordinator does not lead, or the session is over.
    Closed,
}

/// One connection.
pub(crate) struct Link {
    pub(crate) agent: usize,
    pub(crate) site: usize,
    /// Which process of that site.
    pub(crate) process: u64,
    /// When what was sent last arrives, each way.
    up_at: Uptime,
    down_at: Uptime,
    /// Whether what is sent still arrives, each way.
    pub(crate) up_broken: bool,
    pub(crate) down_broken: bool,
    /// The driver's number of the session.
    pub(crate) number: Option<u64>,
    pub(crate) opening: Option<Answered<u64>>,
    pub(crate) outbox: Option<mpsc::Receiver<Box<ToAgent>>>,
    pub(crate) over: CancellationToken,
}

impl Link {
    pub(crate) fn new(agent: usize, site: usize, process: u64) -> Self {
        Self {
            agent,
            site,
            process,
            up_at: Uptime(0),
            down_at: Uptime(0),
            up_broken: false,
            down_broken: false,
            number: None,
            opening: None,
            outbox: None,
            over: CancellationToken::new(),
        }
    }
}

impl World {
    fn transit_ms(&mut self) -> u64 {
        match self.strike(Fault::MessageDelayed) {
            Some(mut random) => random.between(100, 20_000),
            None => self.random.between(1, 20),
        }
    }

    pub(crate) fn send_up(&mut self, id: u64, message: Up) {
        let transit_ms = self.transit_ms();
        let at = self.now.after(transit_ms);
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.up_broken) else { return };
        link.up_at = link.up_at.max(at);
        let at = link.up_at;
        self.agenda.put(at, Action::Up(id, message));
    }

    pub(crate) fn send_down(&mut self, id: u64, message: Down) {
        let transit_ms = self.transit_ms();
        let at = self.now.after(transit_ms);
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.down_broken) else { return };
        link.down_at = link.down_at.max(at);
        let at = link.down_at;
        self.agenda.put(at, Action::Down(id, message));
    }

    /// Something arrives at a coordinator, unless its way is cut: then it waits until that is over.
    pub(crate) fn arrives_up(&mut self, id: u64, message: Up) -> Result<(), Broken> {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.up_broken) else { return Ok(()) };
        let until = self.agents[link.agent].cut_up_until;
        if until > self.now {
            // What is sent later comes later, also if the cut ends before.
            link.up_at = link.up_at.max(until);
            self.agenda.put(until, Action::Up(id, message));
            return Ok(());
        }
        let (site, process) = (link.site, link.process);
        if self.sites[site].process != process {
            // The host answers for a process that is gone.
            self.send_down(id, Down::Closed);
            return Ok(());
        }
        self.site_hears(site, id, message)
    }

    /// What came down waits until its agent wakes up, and so does what comes later.
    pub(crate) fn hold_down(&mut self, id: u64, until: Uptime, message: Down) {
        if let Some(link) = self.links.get_mut(&id) {
            link.down_at = link.down_at.max(until);
        }
        self.agenda.put(until, Action::Down(id, message));
    }

    pub(crate) fn arrives_down(&mut self, id: u64, message: Down) -> Result<(), Broken> {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.down_broken) else { return Ok(()) };
        let at = link.agent;
        let until = self.agents[at].cut_down_until;
        if until > self.now {
            link.down_at = link.down_at.max(until);
            self.agenda.put(until, Action::Down(id, message));
            return Ok(());
        }
        self.agent_hears(at, id, message)
    }
}
