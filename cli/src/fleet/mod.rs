//! A coordinator and agents in this process: what `up` serves, and the private fleet of `run`.

mod embedded;
mod kept_results;
mod leftover;
mod offer;
mod preflight;
mod private;
mod reach;

pub use embedded::{Fleet, FleetOptions};
pub use kept_results::{KeptStore, Refused};
pub use leftover::clear as clear_leftovers;
pub use offer::{ActionArgs, Offer, OwnSettings};
pub use preflight::{Unfit, preflight};
pub use private::PrivateFleet;
pub use reach::Reach;
