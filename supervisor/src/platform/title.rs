//! What lists of processes show of this one.
//! Not here: the names of threads.

use std::ffi::OsString;

/// Shows these words as the arguments of this process, which must have one thread. False: nothing has changed, as there
/// is no room for them, or no way.
#[cfg(target_os = "linux")]
pub(crate) fn retitle(words: &[OsString]) -> bool {
    let Some((place, title)) = place_for(words) else { return false };
    super::raw::overwrite_arguments(&place, &title);
    name_ourselves();
    true
}

/// Shows the name of the program for this process, whatever role it was before and by whatever path it was run.
#[cfg(target_os = "linux")]
pub(crate) fn name_ourselves() {
    // It fails only for a name that cannot be read.
    let _ = nix::sys::prctl::set_name(c"supervisor");
}

/// `retitle` will do so, even after it has with other words.
#[cfg(target_os = "linux")]
pub(crate) fn can_retitle(words: &[OsString]) -> bool {
    place_for(words).is_some()
}

/// Where the kernel put our arguments, and behind them our variables.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) begin: usize,
    pub(super) arguments_end: usize,
    /// The kernel shows of a longer title what goes on where the variables lay, up to here.
    end: usize,
}

#[cfg(target_os = "linux")]
fn place_for(words: &[OsString]) -> Option<(Place, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, the second field of proc_pid_stat(5), may hold any character; what is behind its bracket is numbers.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    let place = Place { begin: field(48)?, arguments_end: field(49)?, end: field(51)? };
    let title = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' ');
    let in_one_piece = 0 < place.begin && place.begin < place.arguments_end && field(50)? == place.arguments_end;
    // It ends with a null.
    (in_one_piece && place.end > place.begin + title.len()).then_some((place, title))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn retitle(_: &[OsString]) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn name_ourselves() {}

#[cfg(not(target_os = "linux"))]
pub(crate) fn can_retitle(_: &[OsString]) -> bool {
    false
}
