//! How a notification is put on the desktop of this user.
//! Not here: what it says, running the program.

/// The command that shows it. Both are arguments, never parts of a script.
pub(crate) fn notification(title: &str, text: &str) -> Vec<String> {
    #[cfg(target_os = "macos")]
    let words = [
        "osascript",
        "-e",
        "on run argv",
        "-e",
        "display notification (item 2 of argv) with title (item 1 of argv)",
        "-e",
        "end run",
        title,
        text,
    ];
    #[cfg(not(target_os = "macos"))]
    let words = ["notify-send", "--app-name=supervisor", "--urgency=critical", "--", title, text];
    words.map(str::to_owned).to_vec()
}
