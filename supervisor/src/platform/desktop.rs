//! How a notification is put on the desktop of this user.
//! Not here: what it says, running the program.

/// Whether notifications of this user would be shown anywhere.
pub(crate) fn desktop_session() -> Result<(), String> {
    // Where notify-send looks for the bus of the session: the specification of D-Bus, and what systemd's sessions have.
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let bus = || set("XDG_RUNTIME_DIR").is_some_and(|dir| std::path::Path::new(&dir).join("bus").exists());
    if cfg!(target_os = "macos") || set("DBUS_SESSION_BUS_ADDRESS").or_else(|| set("DISPLAY")).is_some() || bus() {
        return Ok(());
    }
    Err("no desktop of this user: neither `DBUS_SESSION_BUS_ADDRESS` nor `DISPLAY` is set".to_owned())
}

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
