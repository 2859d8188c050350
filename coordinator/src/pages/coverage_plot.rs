//! The coverage of one run after the other, as a line; the table of the page has the same figures.

use maud::{Markup, html};

use super::words::short_sha;
use crate::reports::percent;
use crate::trends::reports::Point;

/// The picture is as wide as this, in its own units.
const WIDTH: f64 = 800.0;

/// The field of the line: from here, its width and its height.
const LEFT: f64 = 52.0;
const TOP: f64 = 12.0;
const FIELD: f64 = WIDTH - LEFT - 16.0;
const HEIGHT: f64 = 160.0;

/// Where the axis begins, in percent: at a multiple of twenty, so that its quarters are whole.
fn begin(shares: &[(u32, &Point)]) -> u32 {
    let least = shares.iter().map(|(share, _)| *share).min().unwrap_or(0).min(9_999);
    least / 2_000 * 20
}

/// Of runs that have it, newest first; nothing, if fewer than two do.
pub(super) fn plot(found: &[Point]) -> Markup {
    let shares: Vec<(u32, &Point)> =
        found.iter().rev().filter_map(|point| Some((point.hundredths()?, point))).collect();
    if shares.len() < 2 {
        return html! {};
    }
    let low = begin(&shares);
    let place = |at: usize, share: u32| {
        let x = LEFT + at as f64 * FIELD / (shares.len() - 1) as f64;
        let above = f64::from(share) / 100.0 - f64::from(low);
        (x, TOP + HEIGHT - above * HEIGHT / f64::from(100 - low))
    };
    let places = || shares.iter().enumerate().map(|(at, (share, _))| place(at, *share));
    let line: Vec<String> = places().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    html! {
        div.scroll.picture tabindex="0" role="region" aria-label="Plot of coverage" {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (TOP + HEIGHT + 14.0) } role="img" aria-labelledby="plot-title plot-text" {
                title #plot-title { "Coverage of one run after the other" }
                desc #plot-text { "The oldest on the left; the table has the same figures." }
                @for quarter in 0..=4_u32 {
                    @let y = TOP + HEIGHT - f64::from(quarter) * HEIGHT / 4.0;
                    line.grid x1=(LEFT) y1=(y) x2=(WIDTH) y2=(y) {}
                    text x=(LEFT - 6.0) y=(y + 4.0) text-anchor="end" { (low + (100 - low) / 4 * quarter) " %" }
                }
                polyline.line points=(line.join(" ")) {}
                @for ((x, y), (share, point)) in places().zip(&shares) {
                    circle.dot cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3" {
                        title { (short_sha(&point.sha)) ": " (percent(*share)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(covered: u64) -> Point {
        Point {
            run: String::new(),
            sha: "a".repeat(40),
            finished_ms: 1,
            lines: Some(100),
            covered: Some(covered),
            findings: None,
            components: None,
        }
    }

    #[test]
    fn the_oldest_is_on_the_left_and_the_axis_begins_below_the_least() {
        let plot = plot(&[point(100), point(80), point(90)]).into_string();
        assert!(plot.contains("points=\"52.0,92.0 418.0,172.0 784.0,12.0\""), "{plot}");
        assert!(
            plot.contains(">80 %<") && plot.contains(">100 %<") && plot.contains("aaaaaaaaaa: 90.00 %"),
            "{plot}"
        );
    }

    #[test]
    fn one_run_and_none_have_no_line() {
        for found in [
            Vec::new(),
            vec![point(1)],
            vec![point(1), Point { lines: None, ..point(1) }],
            vec![point(1), Point { lines: Some(0), ..point(0) }],
        ] {
            assert_eq!(plot(&found).into_string(), "");
        }
        assert!(
            plot(&[point(100), point(100)]).into_string().contains(">80 %<"),
            "all of it is not below the field"
        );
    }
}
