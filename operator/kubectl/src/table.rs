//! Aligned columns for people.

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

    /// Columns are as wide as their widest cell; an empty cell is a `-`.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows[0].len();
        let length = |cell: &String| cell.chars().count().max(1);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let cell = if cell.is_empty() { "-" } else { cell };
                line.push_str(cell);
                line.push_str(&" ".repeat(width - cell.chars().count() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_what_is_empty_is_seen() {
        let mut table = Table::new(&["NAME", "LEADER", "EPOCH"]);
        table.row(["g0".into(), "shop-g0-1".into(), "7".into()]);
        table.row(["g1".into(), String::new(), String::new()]);
        assert_eq!(table.text(), "NAME  LEADER     EPOCH\ng0    shop-g0-1  7\ng1    -          -\n");
    }
}
