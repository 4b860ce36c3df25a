//! From what is to be said to lines of text that fit a terminal. Pure: data in, text out.

mod table;
mod text;
mod wrap;

pub(crate) use table::{Align, Column, Table};
pub(crate) use text::{Text, Tone, width_of};

/// Something to show: one part below the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
enum Block {
    /// Something at the left and something at the right end of a line.
    Split(Text, Text),
    /// A paragraph, the first line of which begins with the lead; the others are indented by its
    /// width.
    Hanging(Text, Text),
    /// A table.
    Table(Table),
}

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Canvas {
    /// Columns of the terminal; `None` where there is none, and every line is as long as it is.
    pub(crate) width: Option<usize>,
    /// Whether colours are wanted.
    pub(crate) colour: bool,
}

/// The widths that the columns of each table have had, so that a table which is drawn again and
/// again does not jump about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Vec<Vec<usize>>);

impl Page {
    /// Something at the left and something at the right end of a line.
    pub(crate) fn split(&mut self, left: impl Into<Text>, right: impl Into<Text>) {
        self.blocks.push(Block::Split(left.into(), right.into()));
    }

    /// A paragraph.
    pub(crate) fn line(&mut self, text: impl Into<Text>) {
        self.hanging(Text::default(), text);
    }

    /// A paragraph, the first line of which begins with a lead; the others are indented by as
    /// much.
    pub(crate) fn hanging(&mut self, lead: impl Into<Text>, text: impl Into<Text>) {
        self.blocks.push(Block::Hanging(lead.into(), text.into()));
    }

    /// A paragraph with a word in front that says what it is about.
    pub(crate) fn field(&mut self, key: &str, text: impl Into<Text>) {
        self.hanging(Text::toned(Tone::Dim, format!("{key:<KEY_WIDTH$}")), text);
    }

    /// A table.
    pub(crate) fn table(&mut self, table: Table) {
        self.blocks.push(Block::Table(table));
    }

    /// Puts another page in front of this one.
    pub(crate) fn prepend(&mut self, mut front: Self) {
        front.blocks.append(&mut self.blocks);
        self.blocks = front.blocks;
    }

    /// Draws it.
    pub(crate) fn draw(&self, canvas: Canvas, memory: &mut Memory) -> String {
        let mut lines: Vec<Text> = Vec::new();
        let mut tables = 0;
        let width = canvas.width.unwrap_or(usize::MAX);
        for block in &self.blocks {
            match block {
                Block::Split(left, right) => lines.push(split(left, right, canvas.width)),
                Block::Hanging(lead, text) => lines.extend(wrap::hanging(lead, text, width)),
                Block::Table(table) => {
                    if memory.0.len() <= tables {
                        memory.0.resize_with(tables + 1, Vec::new);
                    }
                    let mut unremembered = Vec::new();
                    let widths = memory.0.get_mut(tables).unwrap_or(&mut unremembered);
                    lines.extend(table.draw(width, widths));
                    tables += 1;
                }
            }
        }
        let mut out = String::new();
        for line in lines {
            line.paint(canvas.colour, &mut out);
            out.push('\n');
        }
        out
    }
}

/// The width of the words in front of fields, with the space behind them.
pub(crate) const KEY_WIDTH: usize = 10;

fn split(left: &Text, right: &Text, width: Option<usize>) -> Text {
    let gap = 2;
    let Some(width) = width else {
        return left.clone().then(" ".repeat(gap)).then(right.clone());
    };
    let room = width.saturating_sub(right.width() + gap);
    let left = left.truncated(room);
    let padding = width.saturating_sub(left.width() + right.width());
    left.then(" ".repeat(padding)).then(right.clone())
}
