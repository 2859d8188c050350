//! The hit rate of each hour of the last week: a plot, and the same as a table for whoever wants the figures or does not see.

use maud::{Markup, html};

use super::words::{count, hour_of, number};
use crate::cache::CacheHour as Hour;

const HOUR_S: u64 = 3_600;

/// A week: what the accounts keep.
const HOURS: u64 = 7 * 24;

/// An hour's place on the horizontal axis, and what of it the bar takes. The picture is 800 wide, in its own units.
const STEP: u64 = 4;
const BAR: u64 = 3;

/// The field of the bars: from here, and its height.
const LEFT: u64 = 52;
const TOP: u64 = 12;
const HEIGHT: u64 = 160;

const WIDTH: u64 = LEFT + HOURS * STEP + 8;
const BELOW: u64 = 26;

/// `83 %`, or a dash where nobody asked.
pub(super) fn percent(hits: u64, misses: u64) -> String {
    match hits.saturating_add(misses) {
        0 => "–".to_owned(),
        // What is not all is never told as all, and what is not nothing never as nothing.
        asked if hits > 0 && misses > 0 => {
            format!("{} %", (hits as f64 * 100.0 / asked as f64).round().clamp(1.0, 99.0))
        }
        _ if misses == 0 => "100 %".to_owned(),
        _ => "0 %".to_owned(),
    }
}

/// The hours of the last week up to now, oldest first.
fn of_the_week(hours: &[Hour], now_s: u64) -> Vec<&Hour> {
    let end_s = now_s - now_s % HOUR_S + HOUR_S;
    let begin_s = end_s.saturating_sub(HOURS * HOUR_S);
    hours.iter().filter(|hour| (begin_s..end_s).contains(&hour.start_s)).collect()
}

fn asked(hour: &Hour) -> u64 {
    hour.hits.saturating_add(hour.misses)
}

/// The bar of an hour: where it begins, and how high it is. One without a hit is a line.
fn bar(hour: &Hour, begin_s: u64) -> (u64, u64) {
    let place = hour.start_s.saturating_sub(begin_s) / HOUR_S;
    let height = (hour.hits as f64 / asked(hour).max(1) as f64 * HEIGHT as f64).round() as u64;
    (LEFT + place * STEP, height.max(1))
}

fn plot(hours: &[&Hour], now_s: u64) -> Markup {
    let end_s = now_s - now_s % HOUR_S + HOUR_S;
    let begin_s = end_s.saturating_sub(HOURS * HOUR_S);
    let day_s = 24 * HOUR_S;
    let first_day_s = begin_s.next_multiple_of(day_s);
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " " (TOP + HEIGHT + BELOW) } role="img" aria-labelledby="plot-title plot-text" {
            title #plot-title { "Hit rate by the hour" }
            desc #plot-text { "One bar for each hour of the last week in which something was asked for; the table has the same figures." }
            @for quarter in 0..=4_u64 {
                @let y = TOP + HEIGHT - quarter * HEIGHT / 4;
                line.grid x1=(LEFT) y1=(y) x2=(WIDTH) y2=(y) {}
                text x=(LEFT - 6) y=(y + 4) text-anchor="end" { (quarter * 25) " %" }
            }
            @for start_s in (first_day_s..end_s).step_by(day_s as usize) {
                @let x = LEFT + (start_s - begin_s) / HOUR_S * STEP;
                line.grid x1=(x) y1=(TOP) x2=(x) y2=(TOP + HEIGHT + 6) {}
                // The last one has no room when the day is young.
                @if x + 44 <= WIDTH { text x=(x + 3) y=(TOP + HEIGHT + 18) { (hour_of(start_s, "%b %-d")) } }
            }
            @for hour in hours {
                @let (x, height) = bar(hour, begin_s);
                rect.bar x=(x) y=(TOP + HEIGHT - height) width=(BAR) height=(height) {
                    title { (hour_of(hour.start_s, "%b %-d %H:%M")) " UTC: " (percent(hour.hits, hour.misses)) " of " (number(asked(hour))) }
                }
            }
        }
    }
}

fn table(hours: &[&Hour]) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Hour (UTC)" } th.num scope="col" { "Hits" } th.num scope="col" { "Misses" } th.num scope="col" { "Hit rate" }
            } }
            tbody {
                @for hour in hours.iter().rev() {
                    tr {
                        td { (hour_of(hour.start_s, "%b %-d %H:%M")) }
                        td.num { (number(hour.hits)) }
                        td.num { (number(hour.misses)) }
                        td.num { (percent(hour.hits, hour.misses)) }
                    }
                }
            }
        }
    }
}

/// The whole section.
pub(super) fn section(hours: &[Hour], now_s: u64) -> Markup {
    let hours = of_the_week(hours, now_s);
    html! {
        section aria-labelledby="rate-title" {
            h2 #rate-title { "Hit rate by the hour " span.hint { (count(hours.len() as u64, "hour", "hours")) " of the last week in which something was asked for" } }
            @if hours.is_empty() { p.nothing { "Nothing was asked for in the last week." } }
            @else {
                div.columns {
                    div.scroll.picture tabindex="0" role="region" aria-label="Plot of the hit rate" { (plot(&hours, now_s)) }
                    div.scroll.tall tabindex="0" role="region" aria-label="Hit rate of each hour" { (table(&hours)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_795_000_000;

    fn hour(ago: u64, hits: u64, misses: u64) -> Hour {
        Hour { start_s: NOW_S - NOW_S % HOUR_S - ago * HOUR_S, hits, misses, hit_rate: None }
    }

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        for ((hits, misses), text) in [
            ((0, 0), "–"),
            ((0, 7), "0 %"),
            ((7, 0), "100 %"),
            ((999, 1), "99 %"),
            ((1, 999), "1 %"),
            ((2, 1), "67 %"),
            ((u64::MAX, u64::MAX), "99 %"),
        ] {
            assert_eq!(percent(hits, misses), text);
        }
    }

    #[test]
    fn only_the_last_week_is_shown_and_each_hour_has_its_place() {
        let hours = [hour(400, 1, 1), hour(HOURS, 1, 1), hour(HOURS - 1, 1, 1), hour(0, 3, 1)];
        let shown = of_the_week(&hours, NOW_S);
        assert_eq!(shown.len(), 2);
        let begin_s = hours[2].start_s;
        assert_eq!(bar(&hours[2], begin_s), (LEFT, HEIGHT / 2));
        assert_eq!(bar(&hours[3], begin_s), (LEFT + (HOURS - 1) * STEP, HEIGHT * 3 / 4));
        assert_eq!(bar(&hour(0, 0, 9), begin_s).1, 1, "an hour without a hit is seen");
        let plot = section(&hours, NOW_S).into_string();
        assert_eq!(plot.matches("<rect").count(), 2);
        assert!(plot.contains("UTC: 75 % of 4"), "{plot}");
        // No bar leaves the picture.
        assert!(bar(&hours[3], begin_s).0 + BAR <= WIDTH);
    }

    #[test]
    fn a_clock_at_its_beginning_breaks_nothing() {
        for now_s in [0, 1, HOUR_S, 3 * 24 * HOUR_S] {
            let begun = Hour { start_s: now_s - now_s % HOUR_S, hits: 1, misses: 0, hit_rate: None };
            assert!(section(&[begun], now_s).into_string().contains("100 %"), "{now_s}");
        }
    }
}
