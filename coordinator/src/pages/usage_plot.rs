//! The runs of each day: bars, and the same as a table for whoever wants the figures or does not see.

use maud::{Markup, html};

use super::hit_rate::percent;
use super::words::{hour_of, number};
use crate::trends::DAY_MS;
use crate::trends::usage::Day;

/// The picture is as wide as this, in its own units.
const WIDTH: u64 = 740;

/// The field of the bars: from here, and its height.
const LEFT: u64 = 52;
const TOP: u64 = 12;
const HEIGHT: u64 = 160;
const BELOW: u64 = 26;

/// How far apart days with a date below them are, at least.
const DATE_WIDTH: u64 = 60;

fn all(day: &Day) -> u64 {
    day.succeeded.saturating_add(day.failed).saturating_add(day.others)
}

/// Where the axis ends: 4, 8 or 20 times a power of ten, so that its quarters are whole numbers.
fn top_of(most: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for steps in [4, 8, 20] {
            let top = unit.saturating_mul(steps);
            if top >= most || top == u64::MAX {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// A share of the field's height.
fn height(runs: u64, top: u64) -> f64 {
    runs as f64 * HEIGHT as f64 / top as f64
}

struct Field {
    begin_ms: u64,
    days: u64,
    top: u64,
}

impl Field {
    /// Where a day's bar begins, and how wide it is.
    fn place(&self, day: &Day) -> (f64, f64) {
        let step = (WIDTH - LEFT) as f64 / self.days as f64;
        let number = day.start_ms.saturating_sub(self.begin_ms) / DAY_MS;
        (LEFT as f64 + number as f64 * step, (step * 0.8).max(0.5))
    }

    fn plot(&self, days: &[Day]) -> Markup {
        let step = (WIDTH - LEFT) as f64 / self.days as f64;
        let every = (DATE_WIDTH as f64 / step).ceil() as u64;
        html! {
            svg.plot viewBox={ "0 0 " (WIDTH + 8) " " (TOP + HEIGHT + BELOW) } role="img" aria-labelledby="plot-title plot-text" {
                title #plot-title { "Runs by the day" }
                desc #plot-text { "One bar for each day: below runs that failed, above them those that succeeded, on top the others; the table has the same figures." }
                @for quarter in 0..=4_u64 {
                    @let y = TOP + HEIGHT - quarter * HEIGHT / 4;
                    line.grid x1=(LEFT) y1=(y) x2=(WIDTH) y2=(y) {}
                    text x=(LEFT - 6) y=(y + 4) text-anchor="end" { (number(self.top / 4 * quarter)) }
                }
                @for at in (0..self.days).step_by(every.max(1) as usize) {
                    @let x = LEFT as f64 + at as f64 * step;
                    @if x + 44.0 <= WIDTH as f64 {
                        text x=(format!("{x:.1}")) y=(TOP + HEIGHT + 18) { (hour_of((self.begin_ms + at * DAY_MS) / 1_000, "%b %-d")) }
                    }
                }
                @for day in days {
                    @let (x, width) = self.place(day);
                    @let parts = [("bar failed", day.failed), ("bar", day.succeeded), ("bar other", day.others)];
                    g {
                        title { (hour_of(day.start_ms / 1_000, "%b %-d")) ": " (number(day.succeeded)) " succeeded, " (number(day.failed)) " failed, " (number(day.others)) " others" }
                        @for (at, (class, runs)) in parts.into_iter().enumerate() {
                            @let below: u64 = parts.iter().take(at).map(|(_, runs)| runs).sum();
                            @let (y, high) = (height(below.saturating_add(runs), self.top), height(runs, self.top));
                            @if runs > 0 {
                                rect class=(class) x=(format!("{x:.1}")) y=(format!("{:.1}", (TOP + HEIGHT) as f64 - y)) width=(format!("{width:.1}")) height=(format!("{high:.1}")) {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table(days: &[Day]) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Day (UTC)" } th.num scope="col" { "Runs" }
                th.num scope="col" { "Failed" } th.num scope="col" { "Success" }
            } }
            tbody {
                @for day in days.iter().rev() {
                    tr {
                        td { (hour_of(day.start_ms / 1_000, "%b %-d")) }
                        td.num { (number(all(day))) }
                        td.num { (number(day.failed)) }
                        td.num { (percent(day.succeeded, day.failed)) }
                    }
                }
            }
        }
    }
}

/// The whole section: so many days up to now.
pub(super) fn section(days: &[Day], now_ms: u64, span: u64) -> Markup {
    let today_ms = now_ms - now_ms % DAY_MS;
    let begin_ms = today_ms.saturating_sub(span.saturating_mul(DAY_MS));
    let top = top_of(days.iter().map(all).max().unwrap_or(0));
    // The first of them and today are not whole.
    let field = Field { begin_ms, days: span.saturating_add(1), top };
    html! {
        section aria-labelledby="days-title" {
            h2 #days-title { "Runs by the day" }
            @if days.is_empty() { p.nothing { "No run has ended in these days." } }
            @else {
                p.hint { "Of each bar: below runs that failed, in red; above them those that succeeded; on top, in grey, the others." }
                div.columns {
                    div.scroll.picture tabindex="0" role="region" aria-label="Plot of runs" { (field.plot(days)) }
                    div.scroll.tall tabindex="0" role="region" aria-label="Runs of each day" { (table(days)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_000_000_000;

    fn day(ago: u64, succeeded: u64, failed: u64) -> Day {
        Day { start_ms: NOW_MS - NOW_MS % DAY_MS - ago * DAY_MS, succeeded, failed, others: 0 }
    }

    #[test]
    fn the_axis_ends_at_or_above_the_most_and_has_whole_quarters() {
        for (most, top) in
            [(0, 4), (1, 4), (4, 4), (5, 8), (9, 20), (20, 20), (21, 40), (801, 2_000), (u64::MAX, u64::MAX)]
        {
            assert_eq!(top_of(most), top, "{most}");
        }
    }

    #[test]
    fn bars_stand_on_each_other_and_leave_the_picture_nowhere() {
        let days = [day(14, 1, 0), day(0, 6, 2)];
        let field = Field { begin_ms: days[0].start_ms, days: 15, top: 8 };
        let (first, width) = field.place(&days[0]);
        let (last, _) = field.place(&days[1]);
        assert!(first >= LEFT as f64 && last + width <= WIDTH as f64);
        let plot = section(&days, NOW_MS, 14).into_string();
        assert_eq!((plot.matches("<rect").count(), plot.matches("bar failed").count()), (3, 1));
        // Two failed ones below, a quarter of the field; six above them, up to its top.
        assert!(
            plot.contains("height=\"40.0\"")
                && plot.contains("height=\"120.0\"")
                && plot.contains("y=\"12.0\""),
            "{plot}"
        );
        assert!(plot.contains("75 %"), "{plot}");
    }

    #[test]
    fn a_clock_at_its_beginning_breaks_nothing() {
        for now_ms in [0, 1, DAY_MS, 3 * DAY_MS] {
            let begun = Day { start_ms: now_ms - now_ms % DAY_MS, succeeded: 1, failed: 0, others: 1 };
            assert!(section(&[begun], now_ms, 365).into_string().contains("100 %"), "{now_ms}");
        }
    }
}
