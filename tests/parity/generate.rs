//! Expressions of all kinds from a seed.
//!
//! Left out is what `docs/DIFFERENCES.md` lists for expressions, so that everything that is made must agree: texts with
//! two escaped quotes, numbers that print with an exponent or more than 15 digits, `ß`-like letters, errors in branches
//! of `case` that are not taken.

use crate::random::Random;

const LITERALS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "+1",
    "-0",
    "20",
    "0x1F",
    "0o17",
    "1.5",
    "-1.5",
    ".5",
    "1.",
    "1e3",
    "1.5E2",
    "NaN",
    "Infinity",
    "-Infinity",
    "''",
    "' '",
    "'a'",
    "'A'",
    "'b'",
    "'1'",
    "'1.0'",
    "' 0x1f '",
    "'0o17'",
    "'1e3'",
    "'-0'",
    "'true'",
    "'null'",
    "'NaN'",
    "'Infinity'",
    "'it''s'",
    "'refs/heads/main'",
    "'Refs/Heads'",
    "'é'",
    "'É'",
    "'ubuntu-latest'",
    "'push'",
    "'{0}'",
    "'[1, 2]'",
    "'x,y'",
    "'0b11'",
    "'+5'",
    "'1_0'",
    "'\t1\n'",
    "'😀'",
    "'ǅ'",
    "999999999999999",
];

const ROOTS: &[&str] = &[
    "github",
    "GitHub",
    "matrix",
    "env",
    "needs",
    "inputs",
    "github.event",
    "github.event.commits",
    "github.event.labels",
    "github.event.deep",
    "matrix.list",
    "needs.*",
    "github.event.commits[0]",
    "fromJSON('[]')",
    "fromJSON('{}')",
    "fromJSON('[[1, 2], [3], {\"a\": 4}, 5]')",
    "fromJSON(env.json)",
    "github.event.deep.*",
    "(github)",
    "matrix['list']",
];

const PROPERTIES: &[&str] = &[
    "ref",
    "REF",
    "event_name",
    "actor",
    "name",
    "id",
    "author",
    "x",
    "y",
    "a",
    "k",
    "os",
    "OS",
    "node",
    "flag",
    "result",
    "outputs",
    "v",
    "missing",
    "list",
    "event",
    "commits",
    "labels",
    "json",
    "run_number",
    "forced",
    "none",
    "word",
    "HOME",
    "true",
    "null",
    "build",
    "minus",
];

const JSON: &[&str] = &[
    "'1'",
    "'\"t\"'",
    "'null'",
    "'true'",
    "'[]'",
    "'{}'",
    "'[1, \"a\", null]'",
    "'{\"a\": {\"b\": [1]}}'",
    "' [1 ] '",
    "''",
    "'{'",
    "'nope'",
    "'[1,]'",
    "'{\"a\": 1, \"A\": 2}'",
    "'-0'",
    "'1.50'",
    "'01'",
    "'\"\\u00e9\\n\"'",
    "'[1] 2'",
    "'NaN'",
    "'{\"a\": 1, \"a\": 2}'",
    "'\"\\x\"'",
    "env.json",
    "toJSON(matrix)",
    "matrix.list",
    "null",
    "true",
];

const FORMATS: &[&str] = &[
    "'{0}'",
    "'{0} {1}'",
    "'{1}{0}'",
    "'{{{0}}}'",
    "'{{}}'",
    "'{'",
    "'}'",
    "'{}'",
    "'{a}'",
    "'{0'",
    "'0}'",
    "'{ 0}'",
    "'{0 }'",
    "'{00}'",
    "'{0:x}'",
    "'{2}'",
    "'{-1}'",
    "'}}{{'",
    "'{{{{0}'",
    "'a {0} b'",
    "''",
    "null",
    "1",
    "'{99999999999999999999}'",
    "github",
];

const OPERATORS: &[&str] = &["==", "!=", "<", "<=", ">", ">=", "&&", "||", "&&", "||", "=="];

/// Things that are wrong nearly everywhere.
const NOISE: &[&str] = &[
    "\"a\"",
    "&",
    "|",
    "=",
    "'",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    ".*",
    "*",
    "!",
    "+",
    "-",
    "%",
    "$",
    "1a",
    "a-",
    "-a",
    "1..2",
    "0x",
    "unknown",
    "unknown.x",
    "nofunc()",
    "secrets.x",
    "true.x",
    "'a'.b",
    "1.a",
    "TRUE",
    "Null",
    "nan",
    "infinity",
    "==",
    "{0}",
    "#",
    "é",
];

/// Makes one expression.
pub(crate) struct Generator<'r> {
    random: &'r mut Random,
    out: String,
}

impl<'r> Generator<'r> {
    pub(crate) fn new(random: &'r mut Random) -> Self {
        Self { random, out: String::new() }
    }

    pub(crate) fn expression(mut self) -> String {
        let depth = 1 + self.random.below(5);
        self.any(depth);
        if self.random.once_in(6) {
            self.damage();
        }
        self.out
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn space(&mut self) {
        let space = self.random.pick(&["", " ", " ", "  ", "\t", "\n"]);
        self.push(space);
    }

    fn pick(&mut self, from: &[&str]) {
        let text = self.random.pick(from).to_owned();
        self.push(&text);
    }

    fn any(&mut self, depth: usize) {
        if depth == 0 {
            return self.pick(LITERALS);
        }
        match self.random.below(14) {
            0..=1 => self.pick(LITERALS),
            2..=5 => self.path(depth),
            6 => {
                self.push("!");
                self.any(depth - 1);
            }
            7 => {
                self.push("(");
                self.space();
                self.any(depth - 1);
                self.push(")");
            }
            8..=10 => {
                for _ in 0..=self.random.below(3) {
                    self.any(depth - 1);
                    self.push(" ");
                    self.pick(OPERATORS);
                    self.push(" ");
                }
                self.any(depth - 1);
            }
            _ => self.call(depth),
        }
    }

    fn path(&mut self, depth: usize) {
        self.pick(ROOTS);
        for _ in 0..self.random.below(4) {
            match self.random.below(8) {
                0 => self.push(".*"),
                1 => self.push("[*]"),
                2 => {
                    self.push("[");
                    self.any(depth - 1);
                    self.push("]");
                }
                3 => {
                    let index = self
                        .random
                        .pick(&["0", "1", "2", "-1", "1.9", "99", "'1'", "'x'", "null", "true", "NaN"]);
                    self.push(&format!("[{index}]"));
                }
                4 => {
                    let name = self.random.pick(PROPERTIES).to_owned();
                    self.push(&format!("['{name}']"));
                }
                _ => {
                    self.push(".");
                    self.pick(PROPERTIES);
                }
            }
        }
    }

    fn call(&mut self, depth: usize) {
        let (names, least, most): (&[&str], usize, usize) = match self.random.below(10) {
            0..=1 => (&["contains", "CONTAINS", "Contains"], 2, 2),
            2 => (&["startsWith", "startswith"], 2, 2),
            3 => (&["endsWith", "ENDSWITH"], 2, 2),
            4..=5 => return self.format(depth),
            6 => (&["join", "Join"], 1, 2),
            7 => (&["toJSON", "toJson", "tojson"], 1, 1),
            8 => return self.read_json(depth),
            _ => return self.case(depth),
        };
        self.pick(names);
        let count = match self.random.below(20) {
            0 => least.saturating_sub(1),
            1 => most + 1,
            _ => least + self.random.below(most - least + 1),
        };
        self.arguments(count, depth);
    }

    fn arguments(&mut self, count: usize, depth: usize) {
        self.push("(");
        for at in 0..count {
            if at > 0 {
                self.push(",");
                self.space();
            }
            self.any(depth - 1);
        }
        self.push(")");
    }

    fn format(&mut self, depth: usize) {
        self.push("format(");
        self.pick(FORMATS);
        for _ in 0..self.random.below(4) {
            self.push(", ");
            self.any(depth - 1);
        }
        self.push(")");
    }

    fn read_json(&mut self, depth: usize) {
        self.push("fromJSON(");
        if self.random.once_in(4) {
            self.any(depth - 1);
        } else {
            self.pick(JSON);
        }
        self.push(")");
    }

    /// Its values have no errors: GitHub's package evaluates the branches that are not taken too.
    fn case(&mut self, depth: usize) {
        self.push("case(");
        for _ in 0..=self.random.below(2) {
            if self.random.once_in(4) {
                self.any(depth - 1);
            } else {
                self.pick(LITERALS);
                self.push(" == ");
                self.pick(LITERALS);
            }
            self.push(", ");
            self.pick(LITERALS);
            self.push(", ");
        }
        self.pick(LITERALS);
        if self.random.once_in(10) {
            self.push(", 1");
        }
        self.push(")");
    }

    /// Takes a character away, or puts something in.
    fn damage(&mut self) {
        let characters: Vec<char> = self.out.chars().collect();
        let at = self.random.below(characters.len() + 1);
        let head: String = characters.iter().take(at).collect();
        let skip = usize::from(self.random.once_in(2));
        let tail: String = characters.iter().skip(at + skip).collect();
        let noise = if skip == 1 { "" } else { self.random.pick(NOISE) };
        self.out = format!("{head}{noise}{tail}");
    }
}
