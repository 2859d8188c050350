//! Makes text from outside safe to print: a job's name or log must never move the cursor, retitle the window or
//! forge lines of ours.

/// A name, label or message on one line: control characters become visible escapes (`\n`, `\u{1b}`), and so do the
/// direction overrides that make text read differently than it is.
pub fn name(text: &str) -> String {
    escape(text, false)
}

/// A message of several lines: as [`name`], but line ends and tabs stay.
pub fn paragraph(text: &str) -> String {
    escape(text, true)
}

fn escape(text: &str, keep_lines: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if keep_lines && matches!(character, '\n' | '\t') || !is_unsafe(character) {
            safe.push(character);
        } else {
            safe.extend(character.escape_default());
        }
    }
    safe
}

/// C0 and C1 controls, and Unicode's direction controls (UAX #9).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
}

/// A log line for a terminal: tabs stay, colours (SGR) stay where `colours` allows and are closed at the end, every
/// other escape sequence and control character goes. A carriage return inside becomes a space, so that a progress
/// bar's states stand beside each other.
pub fn log_line(line: &str, colours: bool) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let mut safe = String::with_capacity(line.len());
    let mut coloured = false;
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\t' => safe.push('\t'),
            '\r' => safe.push(' '),
            '\u{1b}' => match rest.peek() {
                Some('[') => {
                    rest.next();
                    if let Some(parameters) = control_sequence(&mut rest)
                        && colours
                    {
                        safe.push_str("\u{1b}[");
                        safe.push_str(&parameters);
                        safe.push('m');
                        coloured = true;
                    }
                }
                Some(']' | 'P' | '_' | '^' | 'X') => {
                    rest.next();
                    skip_string(&mut rest);
                }
                Some(_) => skip_short(&mut rest),
                None => {}
            },
            _ if is_unsafe(character) => {}
            _ => safe.push(character),
        }
    }
    if coloured {
        safe.push_str("\u{1b}[0m");
    }
    safe
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Reads a CSI sequence after its `ESC [` (ECMA-48, 5.4); gives the parameters when it sets colours.
fn control_sequence(rest: &mut Rest<'_>) -> Option<String> {
    let mut parameters = String::new();
    for character in rest.by_ref() {
        match character {
            '0'..='?' | ' '..='/' => parameters.push(character),
            'm' if parameters.chars().all(|c| c.is_ascii_digit() || matches!(c, ';' | ':')) => {
                return Some(parameters);
            }
            _ => return None,
        }
    }
    None
}

/// Skips a string sequence (OSC, DCS, …) up to BEL or ST; an unfinished one swallows the rest of its line.
fn skip_string(rest: &mut Rest<'_>) {
    while let Some(character) = rest.next() {
        match character {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' if rest.peek() == Some(&'\\') => {
                rest.next();
                return;
            }
            _ => {}
        }
    }
}

/// Skips `ESC`, intermediate bytes and one final byte.
fn skip_short(rest: &mut Rest<'_>) {
    for character in rest.by_ref() {
        if !matches!(character, ' '..='/') {
            return;
        }
    }
}

/// The first `width` characters, with `…` where something was cut.
pub fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
