//! Following a run until it ends: its events, what is known about its jobs, and the screen.
//!
//! [`Board`] and [`Transcript`] are pure: they take events and times and make text. [`Screen`] shows it, and
//! [`follow`] brings the events.

mod board;
mod echo;
mod finding;
mod marker;
mod screen;
mod stream;
mod transcript;

#[cfg(test)]
mod tests;

pub use board::{Board, Job};
pub use screen::{Mode, Screen};
pub use stream::{Ended, Unserved, follow};
pub use transcript::{Looks, Transcript};
