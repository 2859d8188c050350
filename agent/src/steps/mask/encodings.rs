//! The forms in which a secret may appear: those of GitHub's `ValueEncoders`, and a little more for Base64.
//!
//! GitHub masks Base64 only where the secret ends the encoded text, because the last character before the padding
//! also holds bits of what follows. Here the characters that depend on the secret alone are masked too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Shortest unpadded Base64 text that is masked; a shorter one would hit innocent text.
const MIN_BASE64_CORE: usize = 8;

/// PowerShell's pieces shorter than this are not masked (GitHub's figure, in characters).
const MIN_POWERSHELL_CHARS: usize = 6;

/// GitHub trims quotes only from values longer than this.
const MIN_QUOTED_CHARS: usize = 9;

/// Every form of a value, itself first; may repeat, never holds an empty text.
pub(super) fn encodings(value: &str) -> Vec<String> {
    let mut forms = vec![
        value.to_owned(),
        value.replace('"', "\\\""),
        value.replace('\'', "''"),
        json_string(value),
        uri_data(value),
        xml_data(value),
    ];
    for shift in 0..3 {
        base64_forms(value.as_bytes(), shift, &mut forms);
    }
    forms.extend(without_quotes(value));
    forms.extend(powershell_pieces(value));
    forms.retain(|form| !form.is_empty());
    forms
}

/// Base64 of the value without its first `shift` bytes: what it looks like after 3n, 3n+2 or 3n+1 other bytes.
fn base64_forms(value: &[u8], shift: usize, forms: &mut Vec<String>) {
    let tail = value.get(shift..).filter(|tail| !tail.is_empty()).unwrap_or(value);
    let padded = STANDARD.encode(tail);
    let full_bytes_chars = tail.len() * 8 / 6;
    if let Some(core) = padded.get(..full_bytes_chars).filter(|core| core.len() >= MIN_BASE64_CORE) {
        forms.push(core.to_owned());
    }
    forms.push(padded);
}

/// As Newtonsoft.Json escapes inside double quotes.
fn json_string(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out
}

/// As `Uri.EscapeDataString`: all but RFC 3986's unreserved characters.
fn uri_data(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// As `SecurityElement.Escape`.
fn xml_data(value: &str) -> String {
    value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}

fn without_quotes(value: &str) -> Option<String> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    (value.chars().count() >= MIN_QUOTED_CHARS).then(|| inner.to_owned())
}

/// PowerShell's error text colours or splits a command at `&`; these are the pieces it shows.
fn powershell_pieces(value: &str) -> Vec<String> {
    let (before, after) = if let Some(at) = value.find("&+") {
        let (before, after) = value.split_at(at + 2);
        // The character after `&+` is shown apart.
        let mut rest = after.chars();
        rest.next();
        (before, rest.as_str())
    } else if let Some(at) = value.rfind('&') {
        value.split_at(at + 1)
    } else {
        return Vec::new();
    };
    [before, after]
        .into_iter()
        .filter(|piece| piece.chars().count() >= MIN_POWERSHELL_CHARS)
        .map(str::to_owned)
        .collect()
}
