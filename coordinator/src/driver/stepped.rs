//! The driver without its thread: whoever holds it says when a batch is handled, and what is in it.
//!
//! It is the same code, batch by batch, so that a simulator can put journal, clock and network of its own around it and run many
//! coordinators in one thread. A program that serves people uses [`super::Driver`].

use std::sync::Arc;

use slipway_scheduler::command::{Cancel, DecideGates, Submit};
use slipway_scheduler::{AgentId, Command, InstanceId, RunId, State};
use tokio::sync::oneshot;

use super::core::Core;
use super::core::Tables;
use super::holds::Stranger;
use super::leases::LeaseTable;
use super::message::SessionLink;
use super::recover::{self, Recovered};
use super::request::{AgentHello, FromAgent, Request, View};
use super::{DriverError, DriverParts};
use crate::audit::Origin;
use crate::journal::{Journal, JournalError};

/// What comes of a request once its batch is durable; closed without an answer: the driver stopped before.
pub type Answered<T> = oneshot::Receiver<Result<T, DriverError>>;

/// A coordinator's state while another one leads.
pub struct Warm {
    recovered: Recovered,
}

impl Warm {
    /// From the newest snapshot that can be read, and what came after it.
    ///
    /// # Errors
    /// As [`Journal::read`], and [`JournalError::Unknown`].
    pub fn recover(journal: &mut dyn Journal) -> Result<Self, JournalError> {
        Ok(Self { recovered: recover::recover(journal)? })
    }

    /// Takes in what came since.
    ///
    /// # Errors
    /// As [`Warm::recover`].
    pub fn catch_up(&mut self, journal: &mut dyn Journal) -> Result<(), JournalError> {
        self.recovered.catch_up(journal)
    }

    /// The state as of what was taken in.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.recovered.state
    }

    /// Leads under an epoch that was just begun; everything of the journal was taken in since.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn lead(
        self,
        journal: Box<dyn Journal>,
        parts: DriverParts,
        epoch: u64,
    ) -> Result<Stepped, JournalError> {
        let (tables, watchers) = (Tables::default(), Arc::default());
        let core = Core::lead(journal, parts, self.recovered, epoch, tables.clone(), watchers)?;
        Ok(Stepped { core, tables, asked: Vec::new() })
    }
}

/// A driver that leads. What is asked waits for the next [`Stepped::turn`].
pub struct Stepped {
    core: Core,
    tables: Tables,
    asked: Vec<Request>,
}

impl Stepped {
    /// Handles all that was asked as one batch, and what became due; says whether it goes on.
    ///
    /// # Errors
    /// The journal's: nothing of the batch was seen, and this driver must not be used any more.
    pub fn turn(&mut self) -> Result<bool, JournalError> {
        let mut batch = std::mem::take(&mut self.asked);
        self.core.turn(&mut batch)
    }

    /// In how many milliseconds the next turn is due, if nothing is asked before.
    #[must_use]
    pub fn sleep_ms(&self) -> u64 {
        u64::try_from(self.core.sleep().as_millis()).unwrap_or(u64::MAX)
    }

    /// All that it knows.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.core.view()
    }

    /// The live leases.
    #[must_use]
    pub fn leases(&self) -> &LeaseTable {
        &self.tables.leases
    }

    /// As [`super::Driver::submit_held`].
    pub fn submit_held(
        &mut self,
        submit: Submit,
        stranger: Option<Stranger>,
        origin: Origin,
    ) -> Answered<RunId> {
        self.ask(|answer| Request::Submit { submit: Box::new(submit), stranger, origin, answer })
    }

    /// As [`super::Driver::command`].
    pub fn command(&mut self, command: Command) -> Answered<()> {
        self.ask(|answer| Request::Command { command, answer })
    }

    /// As [`super::Driver::cancel`].
    pub fn cancel(&mut self, cancel: Cancel, origin: Origin) -> Answered<()> {
        self.ask(|answer| Request::Cancel { cancel, origin, answer })
    }

    /// As [`super::Driver::decide_gates`].
    pub fn decide_gates(&mut self, decision: DecideGates, origin: Origin) -> Answered<Vec<InstanceId>> {
        self.ask(|answer| Request::DecideGates { decision, origin, answer })
    }

    /// As [`super::Driver::hello`].
    pub fn hello(&mut self, hello: AgentHello, link: SessionLink) -> Answered<u64> {
        self.ask(|answer| Request::Hello { hello, link, answer })
    }

    /// As [`super::Driver::disconnect`].
    pub fn disconnect(&mut self, agent: AgentId, session: u64) {
        self.asked.push(Request::Disconnect { agent, session });
    }

    /// As [`super::Driver::agent_said`].
    pub fn agent_said(&mut self, agent: AgentId, session: u64, message: FromAgent) {
        self.asked.push(Request::FromAgent { agent, session, message });
    }

    /// As [`super::Driver::drain`].
    pub fn drain(&mut self, agent: AgentId, on: bool, origin: Origin) -> Answered<bool> {
        self.ask(|answer| Request::Drain { agent, on, origin, answer })
    }

    /// As [`super::Driver::stop`]: the next turn is the last, and leaves a snapshot.
    pub fn stop(&mut self) {
        let (answer, _) = oneshot::channel();
        self.asked.push(Request::Stop { answer });
    }

    fn ask<T>(
        &mut self,
        request: impl FnOnce(oneshot::Sender<Result<T, DriverError>>) -> Request,
    ) -> Answered<T> {
        let (answer, answered) = oneshot::channel();
        self.asked.push(request(answer));
        answered
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use slipway_kit::clock::SystemClock;
    use slipway_scheduler::fleet::AgentProfile;
    use slipway_scheduler::{LabelSet, Rules};
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::super::Standing;
    use super::super::message::ToAgent;
    use super::*;
    use crate::journal::memory::MemoryJournal;
    use crate::journal::{Address, lead};

    /// Says hello, and gives what the driver tells the agent of draining.
    fn told(driver: &mut Stepped, draining: bool) -> Option<bool> {
        let id = AgentId::from_u128(1);
        let (name, labels) = (String::new(), LabelSet::new(["linux"]));
        let profile = AgentProfile { id, name, labels, slots: 1, accepts_untrusted: false, sizing: None };
        let (outbox, mut inbox) = mpsc::channel(8);
        let link = SessionLink { agent: id, outbox, over: CancellationToken::new() };
        drop(driver.hello(AgentHello { profile, held: Vec::new(), draining }, link));
        assert!(driver.turn().unwrap());
        assert!(matches!(inbox.try_recv().map(|told| *told), Ok(ToAgent::Welcome { .. })));
        match inbox.try_recv().map(|told| *told) {
            Ok(ToAgent::Drain { on }) => Some(on),
            _ => None,
        }
    }

    #[test]
    fn an_agent_that_missed_the_end_of_a_drain_order_hears_of_it_with_its_welcome() {
        let mut journal = MemoryJournal::new();
        let epoch = lead(&mut journal, &Address::default()).unwrap();
        let (planner, _planned) = mpsc::unbounded_channel();
        let (ended, _over) = mpsc::unbounded_channel();
        let parts = DriverParts {
            standing: Standing::Alone,
            clock: Arc::new(SystemClock),
            rules: Rules::default(),
            planner,
            ended,
            metrics: Arc::default(),
            tap: None,
            kill: CancellationToken::new(),
        };
        let warm = Warm::recover(&mut journal).unwrap();
        let mut driver = warm.lead(Box::new(journal), parts, epoch).unwrap();
        let agent = AgentId::from_u128(1);
        assert_eq!(told(&mut driver, false), None);
        drop(driver.drain(agent, true, Origin::default()));
        assert_eq!(told(&mut driver, false), Some(true));
        // It says that it drains; meanwhile the order was taken back.
        drop(driver.drain(agent, false, Origin::default()));
        assert_eq!(told(&mut driver, true), Some(false));
    }
}
