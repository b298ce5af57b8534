//! Columns aligned by tabs, as Go's `text/tabwriter` does it.
//!
//! A cell ends with a tab; a column is a run of lines that all have a cell there. What follows a line's last tab is
//! not aligned.

/// Pads the cells of `text`: each column is at least `minimum` wide and `padding` wider than its widest cell.
pub fn align(text: &str, minimum: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or_default();
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let run = lines[start..].iter().take_while(|cells| cells.len() > column + 1).count();
            let widest = lines[start..start + run].iter().map(|cells| width(cells[column])).max();
            let wide = widest.map_or(minimum, |widest| minimum.max(widest + padding));
            for widths in &mut widths[start..start + run] {
                widths[column] = wide;
            }
            start += run.max(1);
        }
    }
    let rows = lines.iter().zip(&widths).map(|(cells, widths)| row(cells, widths));
    rows.collect::<Vec<_>>().join("\n")
}

fn row(cells: &[&str], widths: &[usize]) -> String {
    let (last, padded) = cells.split_last().expect("a split gives at least one cell");
    let padded = padded.iter().zip(widths).map(|(cell, wide)| pad(cell, *wide));
    padded.collect::<String>() + last
}

/// The cell with spaces up to the width.
pub fn pad(cell: &str, wide: usize) -> String {
    format!("{cell}{}", " ".repeat(wide.saturating_sub(width(cell))))
}

/// In characters.
pub fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_neighbouring_lines_are_aligned() {
        assert_eq!(align("a\tb\nccc\td\n", 0, 2), "a    b\nccc  d\n");
        assert_eq!(align("a\tb\tc\nlonger\tx\n", 0, 2), "a       b  c\nlonger  x\n");
        assert_eq!(align("a\tb\nno cells\nlonger\tx", 0, 2), "a  b\nno cells\nlonger  x");
        assert_eq!(align("a\tb", 6, 3), "a     b");
        assert_eq!(align("\tb\nxx\tc", 0, 1), "   b\nxx c");
    }
}
