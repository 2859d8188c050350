//! How many days a page of trends looks back.

use maud::{Markup, html};

use super::words::count;
use crate::trends::{DAYS, DAYS_MAX};

/// How far back a form lets one look, in days.
const SPANS: [u64; 4] = [7, DAYS, 30, 90];

/// What an address asks for, as far as there is an answer.
pub(super) fn chosen(asked: Option<u64>, usual: u64) -> u64 {
    asked.unwrap_or(usual).clamp(1, DAYS_MAX)
}

/// The select of days; an address may name others than it does by itself.
pub(super) fn select(days: u64) -> Markup {
    html! {
        label { "Of the last "
            select name="days" {
                @for span in SPANS { option value=(span) selected[span == days] { (span) " days" } }
                @if !SPANS.contains(&days) { option value=(days) selected { (count(days, "day", "days")) } }
            }
        }
    }
}
