//! Plain tables: columns as wide as their widest cell, two spaces between, no lines, easy to cut and grep.

use super::{escape, style};

/// A cell: what it says, and its colour where there is one.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    result: bool,
}

/// A table being filled.
#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A cell of plain text; control characters are made visible.
pub fn text(text: impl AsRef<str>) -> Cell {
    Cell { text: escape::name(text.as_ref()), result: false }
}

/// A cell with a result or state, in its colour.
pub fn result(word: impl AsRef<str>) -> Cell {
    Cell { text: escape::name(word.as_ref()), result: true }
}

impl Table {
    /// A table with these column titles.
    pub fn new(header: &[&'static str]) -> Self {
        Table { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table's lines, each with its line end. A column in which no row says anything is left out.
    pub fn render(&self, colours: bool) -> String {
        let says = |column: &usize| {
            self.rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.text.is_empty()))
        };
        let kept: Vec<usize> =
            (0..self.header.len()).filter(|column| self.rows.is_empty() || says(column)).collect();
        let widths: Vec<usize> = kept
            .iter()
            .map(|&column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0);
                widest.max(self.header.get(column).map_or(0, |title| title.chars().count()))
            })
            .collect();
        let mut lines = String::new();
        let titles = kept.iter().filter_map(|&column| self.header.get(column));
        let titles = titles.map(|title| (title.to_string(), style::dim(title, colours)));
        push_line(&mut lines, &widths, titles);
        for row in &self.rows {
            let cells = kept.iter().filter_map(|&column| row.get(column)).map(|cell| {
                let shown = if cell.result { style::result(&cell.text, colours) } else { cell.text.clone() };
                (cell.text.clone(), shown)
            });
            push_line(&mut lines, &widths, cells);
        }
        lines
    }
}

/// Pads every cell but the last; `cells` are (what counts for the width, what is shown).
fn push_line(lines: &mut String, widths: &[usize], cells: impl Iterator<Item = (String, String)>) {
    let mut line = String::new();
    let mut gap = 0;
    for ((plain, shown), width) in cells.zip(widths) {
        line.extend(std::iter::repeat_n(' ', gap));
        line.push_str(&shown);
        gap = width.saturating_sub(plain.chars().count()) + 2;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
}
