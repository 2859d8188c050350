//! Numbers as text and back.

/// The number a text counts as, after JavaScript's `Number()`: trimmed, empty is 0, decimal with optional sign and
/// exponent, `0x`, `0o`, `0b`, `Infinity`; anything else is NaN.
pub fn parse_number(text: &str) -> f64 {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.is_empty() {
        return 0.0;
    }
    if let Some((radix, digits)) = prefixed(text) {
        return parse_radix(digits, radix);
    }
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if unsigned == "Infinity" {
        return sign * f64::INFINITY;
    }
    if is_decimal(unsigned) { unsigned.parse::<f64>().map_or(f64::NAN, |n| sign * n) } else { f64::NAN }
}

fn prefixed(text: &str) -> Option<(u32, &str)> {
    let rest = text.strip_prefix('0')?;
    let radix = match rest.as_bytes().first()? {
        b'x' | b'X' => 16,
        b'o' | b'O' => 8,
        b'b' | b'B' => 2,
        _ => return None,
    };
    Some((radix, &rest[1..]))
}

fn parse_radix(digits: &str, radix: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    let mut value = 0.0_f64;
    for c in digits.chars() {
        match c.to_digit(radix) {
            Some(digit) => value = value.mul_add(f64::from(radix), f64::from(digit)),
            None => return f64::NAN,
        }
    }
    value
}

/// `digits [. digits] [e [sign] digits]` with at least one digit before the exponent. Rust's own parser also takes
/// `inf`, `nan` and the like, which are not numbers here.
fn is_decimal(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(0);
    let mut at = whole;
    let mut fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        fraction = digits(at + 1);
        at += 1 + fraction;
    }
    if whole + fraction == 0 {
        return false;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        let exponent = digits(at);
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == bytes.len()
}

/// Significant digits (without trailing zeros) and decimal exponent of a finite, non-zero number.
fn scientific(text: &str) -> Option<(String, i32)> {
    let (mantissa, exponent) = text.split_once('e')?;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    Some((if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }, exponent.parse().ok()?))
}

/// `digits` as a plain decimal with its point placed by `exponent`.
fn plain(digits: &str, exponent: i32) -> String {
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if exponent < 0 {
        format!("0.{}{digits}", zeros(-exponent - 1))
    } else if exponent >= length - 1 {
        format!("{digits}{}", zeros(exponent - length + 1))
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(exponent + 1).unwrap_or(0));
        format!("{whole}.{fraction}")
    }
}

fn special(n: f64) -> Option<&'static str> {
    if n.is_nan() {
        Some("NaN")
    } else if n == f64::INFINITY {
        Some("Infinity")
    } else if n == f64::NEG_INFINITY {
        Some("-Infinity")
    } else if n == 0.0 {
        Some("0")
    } else {
        None
    }
}

/// The text of a whole number that both forms print with all its digits: less than 10^15, which fits 15 digits. Most
/// numbers are of this kind, and printing an `f64` takes ten times as long.
fn whole(n: f64) -> Option<String> {
    const LIMIT: f64 = 1e15;
    // Exact: it has no fraction and is well inside i64.
    #[allow(clippy::cast_possible_truncation)]
    (n.fract() == 0.0 && n.abs() < LIMIT).then(|| (n as i64).to_string())
}

/// .NET's `G15`, which GitHub prints numbers with; `-0` prints `0`.
pub fn format_g15(n: f64) -> String {
    if let Some(text) = whole(n) {
        return text;
    }
    if let Some(text) = special(n) {
        return text.to_owned();
    }
    let sign = if n < 0.0 { "-" } else { "" };
    // The shortest text that reads back the same is found faster than 15 digits, and mostly is those already.
    let shortest = scientific(&format!("{:e}", n.abs())).filter(|(digits, _)| digits.len() <= 15);
    let Some((digits, exponent)) = shortest.or_else(|| scientific(&format!("{:.14e}", n.abs()))) else {
        return n.to_string();
    };
    if (-4..15).contains(&exponent) {
        return format!("{sign}{}", plain(&digits, exponent));
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{point}{rest}E{exponent_sign}{:02}", exponent.unsigned_abs())
}

/// A number as JavaScript writes it into JSON: shortest text that reads back the same; not finite is `null`.
pub fn format_json_number(n: f64) -> String {
    if !n.is_finite() {
        return "null".to_owned();
    }
    if let Some(text) = whole(n) {
        return text;
    }
    let sign = if n < 0.0 { "-" } else { "" };
    let Some((digits, exponent)) = scientific(&format!("{:e}", n.abs())) else {
        return n.to_string();
    };
    if (-6..21).contains(&exponent) {
        return format!("{sign}{}", plain(&digits, exponent));
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{point}{rest}e{exponent_sign}{}", exponent.unsigned_abs())
}
