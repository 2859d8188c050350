//! The form that chooses a repository and how many days a page of trends looks back.

use maud::{Markup, html};

use super::words::count;
use crate::trends::DAYS;

/// How far back a form lets one look, in days.
const SPANS: [u64; 4] = [7, DAYS, 30, 90];

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
