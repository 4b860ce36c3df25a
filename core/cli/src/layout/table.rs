//! Tables which fit.

use super::text::{Text, Tone, width_of};
use super::wrap;
use crate::units;

/// Space between columns.
const GAP: usize = 3;

/// The least that remains of a column which may be truncated and cannot be left out.
const SHORTEST: usize = 8;

/// The least that remains of a column which could as well be left out.
const WORTH_READING: usize = 16;

/// On which side a column is flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    align: Align,
    /// The column with the greatest number is left out first where there is not enough room; those
    /// with 0 never.
    dispensable: u8,
    /// Whether its texts may be truncated.
    flexible: bool,
    /// Whether its texts are put below their rows where there is not enough room.
    below: bool,
}

impl Column {
    /// A column that is never left out.
    pub(crate) const fn new(title: &'static str, align: Align) -> Self {
        Self {
            title,
            align,
            dispensable: 0,
            flexible: false,
            below: false,
        }
    }

    /// It can be left out; the one with the greatest number is first.
    pub(crate) const fn dispensable(self, order: u8) -> Self {
        Self {
            dispensable: order,
            ..self
        }
    }

    /// Its texts may be truncated.
    pub(crate) const fn flexible(self) -> Self {
        Self {
            flexible: true,
            ..self
        }
    }

    /// It can be left out as a column; its texts are then below their rows, whole.
    pub(crate) const fn or_below(self, order: u8) -> Self {
        Self {
            below: true,
            ..self.dispensable(order)
        }
    }
}

/// Rows under titles.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Text>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: one text for each column.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Text>>) {
        self.rows.push(cells.into());
    }

    /// Draws it. `remembered` are the natural widths that its columns have had before; they only
    /// grow.
    pub(super) fn draw(&self, width: usize, remembered: &mut Vec<usize>) -> Vec<Text> {
        self.remember(remembered);
        let widths = fit(&self.columns, remembered, width);
        let titles: Vec<Text> = self
            .columns
            .iter()
            .map(|c| Text::toned(Tone::Dim, c.title))
            .collect();
        let rows = std::iter::once((&titles, Vec::new()))
            .chain(self.rows.iter().map(|row| (row, self.below(&widths, row))));
        rows.flat_map(|(row, below)| {
            let line = draw_row(&self.columns, &widths, row).truncated(width);
            let below = below.into_iter().flat_map(|text| wrap::below(text, width));
            std::iter::once(line).chain(below)
        })
        .collect()
    }

    /// The texts of a row that belong below it.
    fn below<'a>(&self, widths: &[Option<usize>], row: &'a [Text]) -> Vec<&'a Text> {
        let cells = self.columns.iter().zip(widths).zip(row);
        let away = cells.filter(|((column, width), _)| column.below && width.is_none());
        away.map(|(_, cell)| cell)
            .filter(|cell| cell.width() > 0 && cell.plain() != units::UNKNOWN)
            .collect()
    }

    fn remember(&self, widths: &mut Vec<usize>) {
        widths.resize(self.columns.len(), 0);
        for (at, (column, width)) in self.columns.iter().zip(widths).enumerate() {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(Text::width).max().unwrap_or(0);
            *width = (*width).max(widest).max(width_of(column.title));
        }
    }
}

/// How wide each column is drawn; `None` for one that is left out.
///
/// The most dispensable columns give way first: a flexible one by being truncated, as long as
/// something worth reading is left. What may never be left out is truncated last.
fn fit(columns: &[Column], natural: &[usize], width: usize) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    loop {
        let needed = total(widths.iter().flatten().copied());
        let Some(excess) = needed.checked_sub(width).filter(|excess| *excess > 0) else {
            return widths;
        };
        let shown = columns
            .iter()
            .zip(&mut widths)
            .filter(|(_, width)| width.is_some());
        let least = shown
            .filter(|(c, _)| c.dispensable > 0)
            .max_by_key(|(c, _)| c.dispensable);
        match least {
            Some((column, width)) => {
                let rest = width.and_then(|width| width.checked_sub(excess));
                *width = rest.filter(|rest| column.flexible && *rest >= WORTH_READING);
            }
            None => {
                shrink(columns, &mut widths, excess);
                return widths;
            }
        }
    }
}

fn total(widths: impl Iterator<Item = usize> + Clone) -> usize {
    let gaps = widths.clone().count().saturating_sub(1) * GAP;
    widths.sum::<usize>() + gaps
}

/// Takes room away from the widest flexible columns.
fn shrink(columns: &[Column], widths: &mut [Option<usize>], excess: usize) {
    for _ in 0..excess {
        let flexible = columns
            .iter()
            .zip(widths.iter_mut())
            .filter(|(c, _)| c.flexible);
        let widest = flexible
            .filter_map(|(_, w)| w.as_mut())
            .max_by_key(|width| **width);
        match widest {
            Some(width) if *width > SHORTEST => *width -= 1,
            Some(_) | None => return,
        }
    }
}

fn draw_row(columns: &[Column], widths: &[Option<usize>], cells: &[Text]) -> Text {
    let mut line = Text::default();
    let mut first = true;
    let mut late = String::new();
    for ((column, width), cell) in columns.iter().zip(widths).zip(cells) {
        let Some(width) = width else { continue };
        if !first {
            line = line.then(std::mem::take(&mut late)).then(" ".repeat(GAP));
        }
        first = false;
        let cell = cell.truncated(*width);
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        line = match column.align {
            // What is right of it brings the gap along; at the end of a line there is none.
            Align::Left => {
                late = padding;
                line.then(cell)
            }
            Align::Right => line.then(padding).then(cell),
        };
    }
    line
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::layout::{Canvas, Memory, Page};

    fn table(rows: &[[&str; 4]]) -> Page {
        let mut table = Table::new([
            Column::new("NAME", Align::Left),
            Column::new("MS", Align::Right),
            Column::new("REASON", Align::Left).flexible(),
            Column::new("NOTE", Align::Left).dispensable(1),
        ]);
        for row in rows {
            table.row(row.map(Text::from));
        }
        let mut page = Page::default();
        page.table(table);
        page
    }

    const ROWS: &[[&str; 4]] = &[
        ["fibre", "1.5", "both ends hear each other", "x"],
        ["lte", "10.5", "–", "longer note"],
    ];

    #[track_caller]
    fn check(width: usize, expected: &Expect) {
        let canvas = Canvas {
            width: Some(width),
            colour: false,
        };
        let drawn = table(ROWS).draw(canvas, &mut Memory::default());
        expected.assert_eq(&drawn);
        assert!(drawn.lines().all(|line| width_of(line) <= width));
    }

    #[test]
    fn a_table_uses_the_room_that_there_is() {
        check(
            60,
            &expect![[r#"
                NAME      MS   REASON                      NOTE
                fibre    1.5   both ends hear each other   x
                lte     10.5   –                           longer note
            "#]],
        );
    }

    #[test]
    fn what_can_be_left_out_is_left_out_first() {
        check(
            45,
            &expect![[r#"
                NAME      MS   REASON
                fibre    1.5   both ends hear each other
                lte     10.5   –
            "#]],
        );
    }

    #[test]
    fn then_flexible_columns_are_truncated() {
        check(
            34,
            &expect![[r#"
                NAME      MS   REASON
                fibre    1.5   both ends hear eac…
                lte     10.5   –
            "#]],
        );
    }

    #[test]
    fn and_in_the_end_lines_are_cut() {
        check(
            15,
            &expect![[r#"
                NAME      MS…
                fibre    1.5…
                lte     10.5…
            "#]],
        );
    }

    #[test]
    fn what_must_not_be_lost_is_put_below_its_row() {
        let mut table = Table::new([
            Column::new("NAME", Align::Left),
            Column::new("REASON", Align::Left).or_below(1),
            Column::new("NOTE", Align::Left).dispensable(2),
        ]);
        table.row(["fibre", "nothing is heard from the far end", "x"].map(Text::from));
        table.row(["lte", "–", "longer note"].map(Text::from));
        let mut page = Page::default();
        page.table(table);
        let draw = |width| {
            let (width, colour) = (Some(width), false);
            page.draw(Canvas { width, colour }, &mut Memory::default())
        };
        expect![[r#"
            NAME    REASON
            fibre   nothing is heard from the far end
            lte     –
        "#]]
        .assert_eq(&draw(45));
        expect![[r#"
            NAME
            fibre
                nothing is heard from the
                far end
            lte
        "#]]
        .assert_eq(&draw(30));
    }

    #[test]
    fn a_table_that_is_drawn_again_does_not_shrink() {
        let canvas = Canvas {
            width: Some(80),
            colour: false,
        };
        let mut memory = Memory::default();
        let wide = table(ROWS).draw(canvas, &mut memory);
        let narrow = table(&[["a", "1", "b", "c"]]).draw(canvas, &mut memory);
        assert_eq!(wide.lines().next(), narrow.lines().next());
    }
}
