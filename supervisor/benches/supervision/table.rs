//! A row per figure, and how rows look.
//! Not here: taking figures.

/// A figure beside its baseline.
pub(crate) struct Row {
    pub(crate) measure: String,
    pub(crate) size: usize,
    pub(crate) unit: Unit,
    pub(crate) figure: f64,
    pub(crate) baseline: f64,
    pub(crate) aim: Option<Aim>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Ms,
    Mib,
    PerSecond,
    MsPerSecond,
}

/// What the figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// Less than this many times the baseline.
    Times(f64),
    Under(f64),
    Over(f64),
}

impl Row {
    fn cells(&self) -> [String; 7] {
        let ratio = if self.baseline > 0.0 { format!("{:.2}", self.ratio()) } else { "-".to_owned() };
        let (aim, met) = match self.aim {
            Some(aim) => (self.describe(aim), if self.meets(aim) { "yes" } else { "no" }),
            None => ("-".to_owned(), "-"),
        };
        let (figure, baseline) = (self.unit.show(self.figure), self.unit.show(self.baseline));
        [self.measure.clone(), self.size.to_string(), figure, baseline, ratio, aim, met.to_owned()]
    }

    fn ratio(&self) -> f64 {
        self.figure / self.baseline
    }

    fn meets(&self, aim: Aim) -> bool {
        match aim {
            Aim::Times(most) => self.ratio() < most,
            Aim::Under(most) => self.figure < most,
            Aim::Over(least) => self.figure > least,
        }
    }

    fn describe(&self, aim: Aim) -> String {
        match aim {
            Aim::Times(most) => format!("< {most} x"),
            Aim::Under(most) => format!("< {most} {}", self.unit.name()),
            Aim::Over(least) => format!("> {least} {}", self.unit.name()),
        }
    }
}

impl Unit {
    fn show(self, figure: f64) -> String {
        let digits = match self {
            Self::Ms | Self::Mib | Self::MsPerSecond => 2,
            Self::PerSecond => usize::from(figure < 100.0),
        };
        format!("{figure:.digits$} {}", self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ms => "ms",
            Self::Mib => "MiB",
            Self::PerSecond => "/s",
            Self::MsPerSecond => "ms/s",
        }
    }
}

/// A Markdown table, aligned.
pub(crate) fn render(rows: &[Row]) -> String {
    let head = ["measure", "size", "figure", "baseline", "ratio", "aim", "met"].map(str::to_owned);
    let all: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let mut widths = [0; 7];
    for cells in &all {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.len().max(*width);
        }
    }
    let mut lines: Vec<String> = all.iter().map(|cells| line(cells, widths)).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    lines.insert(1, format!("| {} |", rule.join(" | ")));
    lines.join("\n")
}

/// Words to the left, numbers to the right.
fn line(cells: &[String; 7], widths: [usize; 7]) -> String {
    let pad = |(column, (cell, width)): (usize, (&String, usize))| match column {
        1..=4 => format!("{cell:>width$}"),
        _ => format!("{cell:<width$}"),
    };
    let padded: Vec<String> = cells.iter().zip(widths).enumerate().map(pad).collect();
    format!("| {} |", padded.join(" | "))
}
