//! A line of a log as HTML: its colours become classes, and everything else stays text.
//!
//! Only SGR is understood (ECMA-48, section 8.3.117), with xterm's 256 colours and direct ones brought down to the sixteen that
//! the stylesheet has: a page may carry no styles of its own. Other control sequences vanish, other control characters
//! and those that turn the direction of text are shown by name, so that no line hides what it says. Each line begins
//! anew: a colour that nobody ended does not run on.

use maud::{Markup, PreEscaped};

use super::limits::{LINE_SHOWN_BYTES, SPANS_PER_LINE};

const ESCAPE: char = '\u{1b}';

/// What SGR has set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    /// From 0 to 15.
    front: Option<u8>,
    back: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
    inverse: bool,
    struck: bool,
}

/// A piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Sgr(&'a str),
    /// A character that is shown by its name.
    Odd(char),
}

/// The line, at most [`LINE_SHOWN_BYTES`] of it.
pub(super) fn render(line: &str) -> Markup {
    let end = (0..=LINE_SHOWN_BYTES.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
    let shown = line.get(..end.unwrap_or_default()).unwrap_or_default();
    let mut html = String::with_capacity(shown.len() + 32);
    let (mut look, mut spans) = (Look::default(), 0);
    for piece in Pieces(shown) {
        match piece {
            Piece::Sgr(parameters) if spans < SPANS_PER_LINE => look.set(parameters),
            Piece::Sgr(_) => look = Look::default(),
            Piece::Odd(character) => {
                spans += 1;
                html.push_str(&format!("<span class=\"odd\">U+{:04X}</span>", u32::from(character)));
            }
            Piece::Text(text) => match look.classes() {
                classes if classes.is_empty() => escape(text, &mut html),
                classes => {
                    spans += 1;
                    html.push_str(&format!("<span class=\"{classes}\">"));
                    escape(text, &mut html);
                    html.push_str("</span>");
                }
            },
        }
    }
    let left = line.len() - shown.len();
    if left > 0 {
        html.push_str(&format!("<span class=\"odd\">{left} more bytes in the raw log</span>"));
    }
    PreEscaped(html)
}

/// The line's text alone.
pub(super) fn plain(line: &str) -> String {
    Pieces(line).filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None }).collect()
}

fn escape(text: &str, html: &mut String) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // What a progress bar wrote over is shown below.
            '\r' => html.push('\n'),
            _ => html.push(character),
        }
    }
}

fn is_odd(character: char) -> bool {
    (character.is_control() && !matches!(character, '\t' | '\r' | '\n'))
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let first = self.0.chars().next()?;
            if first == ESCAPE {
                if let Some(parameters) = self.sequence() {
                    return Some(Piece::Sgr(parameters));
                }
            } else if is_odd(first) {
                self.0 = &self.0[first.len_utf8()..];
                return Some(Piece::Odd(first));
            } else {
                let (text, rest) = self.0.split_at(self.0.find(is_odd).unwrap_or(self.0.len()));
                self.0 = rest;
                return Some(Piece::Text(text));
            }
        }
    }
}

impl<'a> Pieces<'a> {
    /// Takes an escape sequence; gives the parameters of an SGR.
    fn sequence(&mut self) -> Option<&'a str> {
        let whole = &self.0[ESCAPE.len_utf8()..];
        match whole.chars().next() {
            Some('[') => {
                let body = &whole[1..];
                // Parameters and intermediates, then one final byte; a sequence that was cut off ends where it is broken.
                let end = body.find(|c: char| !('\u{20}'..='\u{3f}').contains(&c)).unwrap_or(body.len());
                let (parameters, rest) = body.split_at(end);
                match rest.chars().next() {
                    Some(last @ '\u{40}'..='\u{7e}') => {
                        self.0 = &rest[1..];
                        (last == 'm').then_some(parameters)
                    }
                    _ => {
                        self.0 = rest;
                        None
                    }
                }
            }
            // A string, ended by BEL or ST: titles and addresses of links. One without an end hides nothing.
            Some(']' | 'P' | '_' | '^' | 'X') => {
                let body = &whole[1..];
                let bell = body.find('\u{7}').map(|at| (at, 1));
                let st = body.find("\u{1b}\\").map(|at| (at, 2));
                let end = [bell, st].into_iter().flatten().min();
                self.0 = end.map_or(body, |(at, length)| &body[at + length..]);
                None
            }
            Some(other @ '\u{20}'..='\u{7e}') => {
                self.0 = &whole[other.len_utf8()..];
                None
            }
            _ => {
                self.0 = whole;
                None
            }
        }
    }
}

impl Look {
    fn set(&mut self, parameters: &str) {
        let mut codes = parameters.split([';', ':']).map(|code| match code {
            "" => Some(0),
            code => code.parse::<u16>().ok(),
        });
        while let Some(code) = codes.next() {
            let Some(code) = code else { continue };
            match code {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                7 => self.inverse = true,
                9 => self.struck = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                27 => self.inverse = false,
                29 => self.struck = false,
                30..=37 => self.front = Some((code - 30) as u8),
                38 => self.front = extended(&mut codes).or(self.front),
                39 => self.front = None,
                40..=47 => self.back = Some((code - 40) as u8),
                48 => self.back = extended(&mut codes).or(self.back),
                49 => self.back = None,
                90..=97 => self.front = Some((code - 90 + 8) as u8),
                100..=107 => self.back = Some((code - 100 + 8) as u8),
                _ => {}
            }
        }
    }

    fn classes(self) -> String {
        let mut classes = Vec::new();
        classes.extend(self.front.map(|colour| format!("f{colour}")));
        classes.extend(self.back.map(|colour| format!("b{colour}")));
        for (set, class) in [
            (self.bold, "bold"),
            (self.dim, "dim"),
            (self.italic, "it"),
            (self.underlined, "ul"),
            (self.inverse, "inv"),
            (self.struck, "st"),
        ] {
            classes.extend(set.then(|| class.to_owned()));
        }
        classes.join(" ")
    }
}

/// The colour of `5;N` or `2;R;G;B`.
fn extended(codes: &mut impl Iterator<Item = Option<u16>>) -> Option<u8> {
    match codes.next()?? {
        5 => match codes.next()?? {
            colour @ 0..=15 => Some(colour as u8),
            cube @ 16..=231 => {
                let (cube, level) = (cube - 16, |step: u16| if step == 0 { 0 } else { 55 + 40 * step });
                Some(nearest([level(cube / 36), level(cube / 6 % 6), level(cube % 6)]))
            }
            grey @ 232..=255 => Some(nearest([8 + 10 * (grey - 232); 3])),
            _ => None,
        },
        2 => {
            let mut channel = || codes.next().flatten().filter(|value| *value <= 255);
            Some(nearest([channel()?, channel()?, channel()?]))
        }
        _ => None,
    }
}

/// Which of the sixteen comes closest: grey by brightness, else by which channels are strong.
fn nearest(channels: [u16; 3]) -> u8 {
    let (most, least) = (channels.into_iter().max().unwrap_or(0), channels.into_iter().min().unwrap_or(0));
    if most - least < 40 {
        return match most {
            0..=63 => 0,
            64..=147 => 8,
            148..=219 => 7,
            _ => 15,
        };
    }
    let middle = most.midpoint(least);
    let hue =
        channels.iter().zip([1, 2, 4]).filter(|(value, _)| **value > middle).map(|(_, bit)| bit).sum::<u8>();
    if most > 200 { hue + 8 } else { hue }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_text_stays_text() {
        for (line, html) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m no", "<span class=\"f1\">red</span> no"),
            ("\u{1b}[1;92mok", "<span class=\"f10 bold\">ok</span>"),
            ("\u{1b}[38;5;196mx", "<span class=\"f9\">x</span>"),
            ("\u{1b}[38;2;0;0;250;4mx", "<span class=\"f12 ul\">x</span>"),
            ("\u{1b}[48;5;240mx\u{1b}[49my", "<span class=\"b8\">x</span>y"),
            ("\u{1b}[mx\u{1b}[999;38;5mx", "xx"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            (
                "\u{1b}[31m\"><img src=x onerror='a'>",
                "<span class=\"f1\">&quot;&gt;&lt;img src=x onerror=&#39;a&#39;&gt;</span>",
            ),
            ("&amp;", "&amp;amp;"),
            ("1%\r2%", "1%\n2%"),
            ("a\tb", "a\tb"),
        ] {
            assert_eq!(render(line).0, html, "{line:?}");
        }
    }

    #[test]
    fn sequences_vanish_without_hiding_what_is_beside_them() {
        for (line, text) in [
            ("a\u{1b}[2Kb\u{1b}[10;20Hc", "abc"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]8;;http://e\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]never ended", "never ended"),
            ("\u{1b}[31", ""),
            ("\u{1b}", ""),
            ("\u{1b}[31ä", "ä"),
            ("\u{1b}(Bx", "Bx"),
            ("x\u{1b}", "x"),
        ] {
            assert_eq!(plain(line), text, "{line:?}");
            assert_eq!(render(line).0, text, "{line:?}");
        }
    }

    #[test]
    fn what_would_turn_or_hide_text_is_shown_by_name() {
        assert_eq!(render("a\u{202e}b").0, "a<span class=\"odd\">U+202E</span>b");
        assert_eq!(render("\u{8}\0").0, "<span class=\"odd\">U+0008</span><span class=\"odd\">U+0000</span>");
    }

    #[test]
    fn a_long_or_colourful_line_is_bounded() {
        let long = render(&"ä".repeat(LINE_SHOWN_BYTES)).0;
        assert!(
            long.ends_with(&format!(
                "<span class=\"odd\">{LINE_SHOWN_BYTES} more bytes in the raw log</span>"
            ))
        );
        let colourful = render(&"\u{1b}[31ma\u{1b}[32mb".repeat(1_000)).0;
        assert!(colourful.matches("<span").count() <= SPANS_PER_LINE + 1, "{colourful}");
        assert_eq!(colourful.matches("<span").count(), colourful.matches("</span>").count());
    }
}
