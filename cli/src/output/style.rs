//! Colours: few, and always beside a word, never instead of one.

/// Colours that tell jobs apart; no red and green, which mean results.
const JOB_COLOURS: [u8; 6] = [36, 35, 34, 33, 96, 95];

/// Wraps `text` in an SGR colour where `colours` is on.
pub fn paint(text: &str, sgr: u8, colours: bool) -> String {
    if colours { format!("\u{1b}[{sgr}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Less important text.
pub fn dim(text: &str, colours: bool) -> String {
    paint(text, 2, colours)
}

/// More important text.
pub fn bold(text: &str, colours: bool) -> String {
    paint(text, 1, colours)
}

/// The colour of the `index`-th job seen.
pub fn job_colour(index: usize) -> u8 {
    JOB_COLOURS[index % JOB_COLOURS.len()]
}

/// A result or a state in its colour: green success, red failure, yellow cancelled, dim skipped or waiting.
pub fn result(word: &str, colours: bool) -> String {
    let sgr = match word {
        "success" => 32,
        "failure" => 31,
        "cancelled" => 33,
        "running" => 36,
        _ => 2,
    };
    paint(word, sgr, colours)
}

/// A duration as people say it: `0.4s`, `12s`, `3m04s`, `2h05m`.
pub fn duration_ms(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{}.{}s", seconds, milliseconds % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How long ago a Unix time in milliseconds was: `just now`, `5 min ago`, `3 h ago`, `2 days ago`.
pub fn ago(then_ms: u64, now_ms: u64) -> String {
    let minutes = now_ms.saturating_sub(then_ms) / 60_000;
    match minutes {
        0 => "just now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..1440 => format!("{} h ago", minutes / 60),
        1440..2880 => "1 day ago".to_owned(),
        _ => format!("{} days ago", minutes / 1440),
    }
}

/// Bytes in the largest unit of which there is one.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (20 << 30, "20.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }
}
