//! Tables for people.
//! Not here: what is in them.

/// How a cell is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Faint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// So much of the last column is worth more than a column that may give way.
const WORTH: usize = 32;
/// With less than this, the last column has lines of its own.
const LEAST: usize = 20;

/// Columns two spaces apart; those in which no row has anything are left out. What of the last column does not fit into
/// the `width` goes on in further lines.
pub(crate) fn render<const N: usize>(
    head: [&str; N],
    rows: &[[Cell; N]],
    width: Option<usize>,
    colour: bool,
) -> String {
    laid_out(head, rows, width, colour, &[], |text, width, indent| wrapped(text, Some(width), indent))
}

/// As `render`, but with one line for a row, which is cut to the `width`. When little would be left of the last column,
/// these give way before it, the first of them first.
pub(crate) fn fitted<const N: usize>(
    head: [&str; N],
    rows: &[[Cell; N]],
    width: Option<usize>,
    colour: bool,
    giving_way: &[usize],
) -> String {
    laid_out(head, rows, width, colour, giving_way, |text, width, indent| cut(text, width.saturating_sub(indent)))
}

/// `last` makes the text of the last column, which begins behind `indent` columns, fit the width.
fn laid_out<const N: usize>(
    head: [&str; N],
    rows: &[[Cell; N]],
    width: Option<usize>,
    colour: bool,
    giving_way: &[usize],
    last: impl Fn(&str, usize, usize) -> String,
) -> String {
    let mut shown: Vec<usize> = (0..N).filter(|i| rows.iter().any(|row| !row[*i].text.is_empty())).collect();
    let widths: Vec<usize> = (0..N)
        .map(|i| rows.iter().map(|row| columns(&row[i].text)).chain([columns(head[i])]).max().unwrap_or(0))
        .collect();
    for column in giving_way {
        let needed: usize =
            shown.iter().map(|i| if *i == N - 1 { widths[*i].min(WORTH) } else { widths[*i] + 2 }).sum();
        if width.is_some_and(|width| needed > width) {
            shown.retain(|i| i != column);
        }
    }
    let before: usize = shown.iter().filter(|i| **i != N - 1).map(|i| widths[*i] + 2).sum();
    let below = shown.len() > 1 && width.is_some_and(|width| before + widths[N - 1].min(LEAST) > width);
    let below = if below && shown.last() == Some(&(N - 1)) { shown.pop() } else { None };
    let head = head.map(|text| Cell { text: text.to_owned(), tone: Tone::Faint });
    let mut table = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let whole = width.unwrap_or(usize::MAX);
        let mut left = whole;
        for (place, &i) in shown.iter().enumerate() {
            let text = if i == N - 1 { last(&row[i].text, whole, whole - left) } else { cut(&row[i].text, left) };
            let used = columns(&text);
            left = left.saturating_sub(widths[i] + 2);
            table.push_str(&painted(&text, row[i].tone, colour));
            if place + 1 < shown.len() {
                table.push_str(&" ".repeat(widths[i] - used.min(widths[i]) + 2));
            }
        }
        table.truncate(table.trim_end_matches(' ').len());
        table.push('\n');
        if let Some(cell) = below.map(|i| &row[i]).filter(|cell| row != &head && !cell.text.is_empty()) {
            let text = last(&cell.text, whole, 2);
            table.push_str(&format!("  {}\n", painted(&text, cell.tone, colour)));
        }
    }
    table
}

pub(crate) fn painted(text: &str, tone: Tone, colour: bool) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => "32",
        Tone::Busy => "33",
        Tone::Bad => "31",
        Tone::Faint => "2",
    };
    if colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// At most `width` columns, with an ellipsis where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| left.checked_sub(columns_of(*c)).map(|rest| left = rest).is_some();
    let mut kept: String = text.chars().take_while(fits).collect();
    if width > 0 {
        kept.push('…');
    }
    kept
}

/// Broken between words, each further line behind `indent` columns, so that none but a long word passes `width`.
pub(crate) fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else { return text.to_owned() };
    let (mut lines, mut used) = (String::new(), indent);
    for word in text.split_inclusive(' ') {
        let columns = columns(word);
        if used > indent && used + columns - usize::from(word.ends_with(' ')) > width {
            lines.truncate(lines.trim_end_matches(' ').len());
            lines.push_str(&format!("\n{:indent$}", ""));
            used = indent;
        }
        lines.push_str(word);
        used += columns;
    }
    lines
}

pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Two for what East Asian scripts and emoji take (Unicode's annex 11, by blocks), else one.
fn columns_of(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff01}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<[Cell; 3]> {
        vec![
            [
                Cell::plain("mail"),
                Cell { text: "running".to_owned(), tone: Tone::Good },
                Cell::plain("a reason that is long"),
            ],
            [Cell::plain("x"), Cell { text: "failed".to_owned(), tone: Tone::Bad }, Cell::plain("")],
        ]
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let table = render(["NAME", "STATE", "WHY"], &rows(), None, false);
        assert_eq!(table, "NAME  STATE    WHY\nmail  running  a reason that is long\nx     failed\n");
    }

    #[test]
    fn a_line_is_cut_to_the_terminal() {
        let table = fitted(["NAME", "STATE", "WHY"], &rows(), Some(35), false, &[]);
        assert_eq!(table, "NAME  STATE    WHY\nmail  running  a reason that is lo…\nx     failed\n");
        let table = render(["NAME", "STATE", "WHY"], &rows(), Some(35), false);
        assert_eq!(table, "NAME  STATE    WHY\nmail  running  a reason that is\n               long\nx     failed\n");
        for width in 2..40 {
            let table = fitted(["NAME", "STATE", "WHY"], &rows(), Some(width), false, &[]);
            assert!(table.lines().all(|line| columns(line) <= width), "{width}: {table}");
        }
    }

    #[test]
    fn where_there_is_no_room_the_last_column_has_lines_of_its_own() {
        let table = render(["NAME", "STATE", "WHY"], &rows(), Some(25), false);
        assert_eq!(table, "NAME  STATE\nmail  running\n  a reason that is long\nx     failed\n");
    }

    #[test]
    fn words_are_kept_whole_and_wide_letters_take_two_columns() {
        assert_eq!(wrapped("one two three", Some(9), 2), "one two\n  three");
        assert_eq!(wrapped("one two three", None, 2), "one two three");
        assert_eq!(wrapped("incomprehensible a", Some(6), 2), "incomprehensible\n  a");
        assert_eq!((columns("김민지"), cut("김민지", 5).as_str(), cut("김민지", 6).as_str()), (6, "김민…", "김민지"));
    }

    #[test]
    fn a_column_without_content_is_left_out() {
        let rows = [[Cell::plain("a"), Cell::plain(""), Cell::plain("b")]];
        assert_eq!(render(["ONE", "TWO", "THREE"], &rows, None, false), "ONE  THREE\na    b\n");
    }

    #[test]
    fn columns_give_way_to_the_last_one_where_it_is_narrow() {
        let head = ["NAME", "STATE", "WHY"];
        assert_eq!(fitted(head, &rows(), Some(27), false, &[1]).lines().nth(1), Some("mail  a reason that is long"));
        assert_eq!(fitted(head, &rows(), Some(36), false, &[1]), render(head, &rows(), None, false), "there is room");
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        assert!(!render(["A", "B", "C"], &rows(), None, false).contains('\x1b'));
        assert!(render(["A", "B", "C"], &rows(), None, true).contains("\x1b[32mrunning\x1b[0m"));
    }
}
