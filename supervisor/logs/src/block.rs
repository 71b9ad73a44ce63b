//! A pattern for many lines at once: it finds what the pattern finds in each of them, and no match crosses a line end.
//! Not here: the pattern of one line (`filter`).

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look};

/// `None`: it says something that is true of one line alone, or cannot be rewritten.
pub(crate) fn pattern(pattern: &str) -> Option<String> {
    let parsed = ParserBuilder::new().utf8(false).multi_line(true).build().parse(pattern).ok()?;
    within_lines(parsed).map(|hir| hir.to_string())
}

/// The same without line ends, which no line holds: a scan that may pass them would go on to the end of the block.
fn within_lines(hir: Hir) -> Option<Hir> {
    Some(match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(text) if text.0.contains(&b'\n') => Hir::fail(),
        HirKind::Literal(text) => Hir::literal(text.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(mut class)) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::Start | Look::End | Look::StartCRLF | Look::EndCRLF) => return None,
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(within_lines(*repetition.sub)?);
            Hir::repetition(repetition)
        }
        HirKind::Capture(capture) => within_lines(*capture.sub)?,
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(within_lines).collect::<Option<_>>()?),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(within_lines).collect::<Option<_>>()?),
    })
}
