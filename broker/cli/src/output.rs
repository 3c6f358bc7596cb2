//! Results on standard output: aligned tables for people, JSON for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: one document, or one object a line where results stream
    Json,
}

/// Columns with a title each.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| (*title).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let mut text = Vec::new();
        self.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Columns are as wide as their widest cell, numbers stand at the right.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns = self.rows[0].len();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        let numeric: Vec<bool> =
            (0..columns).map(|column| cells(column).skip(1).all(|cell| is_number(cell))).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                let blanks = " ".repeat(width - cell.chars().count());
                let (before, after) =
                    if numeric[column] && self.rows.len() > 1 { (&*blanks, "") } else { ("", &*blanks) };
                line.extend([before, cell, after, "  "]);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell == "-" || cell.parse::<f64>().is_ok()
}

/// Prints one result.
pub(crate) fn print(format: Format, value: &impl Serialize, table: impl FnOnce() -> Table) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Table => table().write(&mut out),
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, value)?;
            writeln!(out)
        }
    }
}

/// Prints one of many results as soon as it is there.
pub(crate) fn print_line(
    format: Format,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Table => writeln!(out, "{}", text())?,
        Format::Json => {
            serde_json::to_writer(&mut out, value)?;
            writeln!(out)?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let mut table = Table::new(&["NAME", "QUEUES"]);
        table.row(["orders".into(), "8".into()]);
        table.row(["x".into(), "1024".into()]);
        assert_eq!(table.text(), "NAME    QUEUES\norders       8\nx         1024\n");
    }
}
