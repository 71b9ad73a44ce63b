//! The word that was probably meant.
//! Not here: where the words come from.

/// Longer words are no typing errors.
const MAX_LENGTH: usize = 64;

/// The candidate with the fewest typing errors in it, if they are few: one for each three letters, at least one.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_LENGTH {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let few = (word.len() / 3).max(1);
    let distances = candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= few + 3)
        .map(|candidate| (distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate));
    distances.filter(|(distance, _)| *distance <= few && *distance < word.len()).min().map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `a` of `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognised() {
        let words = ["command", "cwd", "critical", "port", "ports", "max_parallel_starts", "TERM", "a"];
        for (slip, meant) in [
            ("comand", Some("command")),
            ("commnad", Some("command")),
            ("Port", Some("port")),
            ("prot", Some("port")),
            ("cdw", Some("cwd")),
            ("max_paralel_start", Some("max_parallel_starts")),
            ("memory", None),
            ("", None),
            ("x", None),
            ("TREM", Some("TERM")),
        ] {
            assert_eq!(nearest(slip, words), meant, "{slip}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), words), None);
    }
}
