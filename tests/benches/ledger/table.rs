//! The table of figures.

use std::fmt;

/// Whether a figure keeps to its target.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// It has none.
    Open,
}

impl Verdict {
    pub(crate) const fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Open => "",
        }
    }
}

/// One line: what, how much, what the machine could do at best, what it should be.
struct Row {
    cells: [String; 5],
}

/// Figures in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A figure with a target.
    pub(crate) fn judged(
        &mut self,
        figure: impl Into<String>,
        measured: impl Into<String>,
        ceiling: impl Into<String>,
        target: impl Into<String>,
        met: bool,
    ) {
        let verdict = Verdict::of(met);
        self.push([figure.into(), measured.into(), ceiling.into(), target.into(), verdict.word().into()]);
    }

    /// A figure that is good to know.
    pub(crate) fn open(
        &mut self,
        figure: impl Into<String>,
        measured: impl Into<String>,
        ceiling: impl Into<String>,
    ) {
        let verdict = Verdict::Open;
        self.push([figure.into(), measured.into(), ceiling.into(), String::new(), verdict.word().into()]);
    }

    fn push(&mut self, cells: [String; 5]) {
        eprintln!("  {}: {} {}", cells[0], cells[1], cells[4]);
        self.rows.push(Row { cells });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["figure", "measured", "ceiling in this run", "target", ""].map(String::from);
        let all = || std::iter::once(&titles).chain(self.rows.iter().map(|row| &row.cells));
        let width = |column: usize| all().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        for (number, cells) in all().enumerate() {
            let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
            if number == 0 {
                writeln!(f, "{}", widths.map(|width| "-".repeat(width)).join("  ").trim_end())?;
            }
        }
        Ok(())
    }
}
