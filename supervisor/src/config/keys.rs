//! Every key that `supervisor.toml` may hold: the one table from which unknown keys are recognised, and of which
//! documentation and schema are made.
//! Not here: reading their values.

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// Dotted; `*` stands for a name of the user's choice. What is below `services.*` may be below `defaults` too.
    pub(crate) path: &'static str,
    pub(crate) status: Status,
    pub(crate) shape: Shape,
    /// As TOML; empty when there is none.
    pub(crate) default: &'static str,
    pub(crate) doc: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Accepted,
    /// Designed, and refused by this version.
    NotYet,
}

/// What a value looks like. But for tables and lists it may be an interpolated string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Table,
    Text,
    /// A string, or a number or boolean that stands for one.
    Scalar,
    Texts,
    /// One string or several.
    TextOrTexts,
    TextOrTable,
    TextsOrTable,
    /// `[[…]]`: a table for each.
    Tables,
    Choice(&'static [&'static str]),
    Choices(&'static [&'static str]),
    Flag,
    Count,
    Counts,
    Number,
    Duration,
    Size,
}

use Shape::{
    Choice, Choices, Count, Counts, Duration, Flag, Number, Scalar, Size, Table, Tables, Text, TextOrTable,
    TextOrTexts, Texts, TextsOrTable,
};

/// In the order of the documentation.
pub(crate) fn keys() -> &'static [Key] {
    KEYS
}

const fn key(path: &'static str, shape: Shape, default: &'static str, doc: &'static str) -> Key {
    Key { path, status: Status::Accepted, shape, default, doc }
}

const fn later(path: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { path, status: Status::NotYet, shape, default: "", doc }
}

#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("include", Texts, "[]", "globs of further files with services; a name twice is an error"),

    key("supervisor", Table, "", "the supervisor itself"),
    key("supervisor.name", Text, "", "the stack's name; by default that of the directory"),
    key("supervisor.runtime_dir", Text, "\"auto\"", "where sockets and the token are"),
    key("supervisor.state_dir", Text, "\"auto\"", "where the lock, the journal of events and reports of ends are"),
    key("supervisor.auto_reload", Flag, "true", "reload when this file, an included one or an env file changes"),
    key("supervisor.shutdown_timeout", Duration, "\"30s\"", "how long stopping everything may take"),
    key("supervisor.max_parallel_starts", Count, "0", "how many services may be starting at once; 0: twice the cores, and eight times the cores with those that are ready as soon as they run"),

    key("http", Table, "", "health, status, metrics and API over TCP"),
    key("http.listen", Scalar, "\"auto\"", "an address, a port of 127.0.0.1, `off`, or `auto`: 9700 or the next free up to 9719"),
    key("http.open", Choices(&["health", "status", "metrics"]), "[\"health\", \"status\", \"metrics\"]", "what may be read without the token"),
    key("http.allowed_hosts", Texts, "[]", "host names, besides those of loopback, under which it answers"),
    key("http.expose", Flag, "false", "allow `listen` beyond loopback"),

    key("logs", Table, "", "the logs of all services; `services.*.log` overrides it for one"),
    key("logs.dir", Text, "\"logs\"", "where log files are"),
    key("logs.max_size", Size, "\"10MiB\"", "a log file is rotated at this size; 0: never"),
    key("logs.keep", Count, "5", "how many rotated files are kept; 0: all"),
    key("logs.compress", Choice(&["gzip", "none"]), "\"gzip\"", "how rotated files are compressed"),
    key("logs.streams", Choice(&["merged", "split"]), "\"merged\"", "one file, or one for stdout and one for stderr"),
    key("logs.max_age", Duration, "\"0\"", "rotated files older than this are removed; 0: none is too old"),
    key("logs.total", Size, "\"1GiB\"", "how much all logs together may take; the oldest rotated files go first; 0: any amount"),
    key("logs.min_free", Size, "\"200MiB\"", "how much of the disk is left free, at most a tenth of it; 0: nothing"),
    key("logs.on_full", Choice(&["drop", "block"]), "\"drop\"", "when the disk is full: drop output and count it, or let the service wait"),

    later("gateway", Table, "host routing and TLS"),
    key("alerts", Tables, "", "whom to tell of what"),
    key("alerts.name", Text, "", "what it is called; by default by its kind"),
    key("alerts.on", Choices(&["crash", "crash-loop", "failed", "unhealthy", "rolled-back", "limit", "disk", "certificate", "recovered"]), "[\"crash-loop\", \"failed\", \"unhealthy\", \"rolled-back\", \"limit\", \"disk\", \"certificate\", \"recovered\"]", "what to tell"),
    key("alerts.services", Texts, "[\"*\"]", "of which services; `*` stands for any letters"),
    key("alerts.min_interval", Duration, "\"5m\"", "the same of the same service is told no sooner again; then half as often each time"),
    key("alerts.log_lines", Count, "20", "so many of the last lines of its log are told"),
    key("alerts.webhook", TextOrTable, "", "an address that takes JSON"),
    key("alerts.webhook.file", Text, "", "the file that holds it"),
    key("alerts.webhook.command", TextOrTexts, "", "the command that prints it"),
    key("alerts.webhook.env", Text, "", "the variable that holds it"),
    key("alerts.headers", Table, "{}", "headers for the webhook"),
    key("alerts.headers.*", TextOrTable, "", "one header"),
    key("alerts.headers.*.file", Text, "", "the file that holds it"),
    key("alerts.headers.*.command", TextOrTexts, "", "the command that prints it"),
    key("alerts.headers.*.env", Text, "", "the variable that holds it"),
    key("alerts.slack", TextOrTable, "", "the address of an incoming webhook of Slack, or of what speaks its language"),
    key("alerts.slack.file", Text, "", "the file that holds it"),
    key("alerts.slack.command", TextOrTexts, "", "the command that prints it"),
    key("alerts.slack.env", Text, "", "the variable that holds it"),
    key("alerts.discord", TextOrTable, "", "the address of a webhook of Discord"),
    key("alerts.discord.file", Text, "", "the file that holds it"),
    key("alerts.discord.command", TextOrTexts, "", "the command that prints it"),
    key("alerts.discord.env", Text, "", "the variable that holds it"),
    key("alerts.ntfy", TextOrTable, "", "the address of a topic of ntfy"),
    key("alerts.ntfy.file", Text, "", "the file that holds it"),
    key("alerts.ntfy.command", TextOrTexts, "", "the command that prints it"),
    key("alerts.ntfy.env", Text, "", "the variable that holds it"),
    key("alerts.email", Table, "", "a mail"),
    key("alerts.email.server", Text, "", "the mail server that takes it"),
    key("alerts.email.port", Count, "", "its port; by default 587, with `tls = \"tls\"` 465, with `none` 25"),
    key("alerts.email.tls", Choice(&["starttls", "tls", "none"]), "\"starttls\"", "how the connection is encrypted; never less than this"),
    key("alerts.email.user", Text, "", "who logs in there"),
    key("alerts.email.password", TextOrTable, "", "with what"),
    key("alerts.email.password.file", Text, "", "the file that holds it"),
    key("alerts.email.password.command", TextOrTexts, "", "the command that prints it"),
    key("alerts.email.password.env", Text, "", "the variable that holds it"),
    key("alerts.email.from", Text, "", "whom it is from"),
    key("alerts.email.to", TextOrTexts, "", "whom it goes to"),
    key("alerts.command", TextOrTexts, "", "a command that reads JSON from its standard input"),
    key("alerts.desktop", Flag, "false", "a notification on the desktop of the supervisor's user"),

    key("defaults", Table, "", "any key of a service, for all services"),
    key("services", Table, "", "the services"),
    key("services.*", Table, "", "one service"),
    key("services.*.command", TextOrTexts, "", "what to run: a list, or a string that is split as a shell would, without a shell"),
    key("services.*.shell", Flag, "false", "run `command`, a string, with /bin/sh -c"),
    key("services.*.cwd", Text, "\".\"", "the working directory"),
    key("services.*.env", Table, "{}", "environment variables"),
    key("services.*.env.*", Scalar, "", "one variable"),
    key("services.*.env_file", TextOrTexts, "[]", "files of KEY=VALUE lines; one whose name ends in `?` may be missing"),
    key("services.*.secrets", Table, "{}", "environment variables that are never shown"),
    key("services.*.secrets.*", Table, "", "one of them, by exactly one of the following"),
    key("services.*.secrets.*.file", Text, "", "the file that holds it"),
    key("services.*.secrets.*.command", TextOrTexts, "", "the command that prints it"),
    key("services.*.secrets.*.env", Text, "", "the supervisor's variable that holds it"),
    key("services.*.inherit_env", TextOrTexts, "[\"PATH\", \"HOME\", \"LANG\", \"TZ\", \"TMPDIR\", \"USER\"]", "variables of the supervisor that are passed on; `*` for all"),
    key("services.*.user", Scalar, "\"\"", "run as this user"),
    key("services.*.group", Scalar, "\"\"", "run as this group"),
    key("services.*.umask", Text, "\"022\"", "the file mode creation mask, in octal"),
    key("services.*.type", Choice(&["service", "oneshot"]), "\"service\"", "runs for ever, or to completion; a oneshot takes no `ready` and `live` from `defaults`"),
    key("services.*.autostart", Flag, "true", "start with the supervisor"),
    key("services.*.critical", Flag, "true", "counts in the aggregate health; an optional service only degrades it"),
    key("services.*.depends_on", TextsOrTable, "[]", "services that must be ready before, or a table with `started`, `ready` or `completed` for each"),
    key("services.*.depends_on.*", Choice(&["started", "ready", "completed"]), "", "what must hold of one of them"),
    key("services.*.port", Count, "", "the public port, exported as PORT"),
    key("services.*.bind", Text, "\"127.0.0.1\"", "the address of the ports"),
    key("services.*.ports", Table, "{}", "further named ports, exported as PORT_NAME"),
    key("services.*.ports.*", Count, "", "one of them"),
    later("services.*.host", Text, "its name at the gateway"),
    key("services.*.instances", Count, "1", "how many run side by side"),
    later("services.*.build", Table, "what to run before a start when sources changed"),
    later("services.*.watch", Table, "restart when these files change"),

    key("services.*.restart", Table, "", "when it is started again"),
    key("services.*.restart.policy", Choice(&["always", "on-failure", "no"]), "\"always\"", "which ends are followed by a new run"),
    key("services.*.restart.delay", Duration, "\"500ms\"", "before a restart, unless the run was good (`reset_after`); then and with 0 it is immediate"),
    key("services.*.restart.factor", Number, "2.0", "each further failure multiplies the delay"),
    key("services.*.restart.max_delay", Duration, "\"30s\"", "the longest delay"),
    key("services.*.restart.jitter", Number, "0.5", "the share of a delay that is random"),
    key("services.*.restart.reset_after", Duration, "\"30s\"", "a run this long is good"),
    key("services.*.restart.crash_loop", Count, "5", "failures in a row until the state is crash-loop; 0: never"),
    key("services.*.restart.max_restarts", Count, "0", "restarts in a row until it is given up; 0: never"),
    key("services.*.restart.success_exit_codes", Counts, "[0]", "exit codes that are no failure"),

    key("services.*.stop", Table, "", "how it is stopped"),
    key("services.*.stop.signal", Text, "\"TERM\"", "the signal that asks"),
    key("services.*.stop.timeout", Duration, "\"10s\"", "then all its processes are killed"),
    later("services.*.stop.command", TextOrTexts, "run instead of sending a signal"),

    key("services.*.ready", Table, "", "when a start has succeeded: all that are given must pass"),
    key("services.*.ready.notify", Flag, "false", "wait for READY=1 on NOTIFY_SOCKET"),
    key("services.*.ready.log", Text, "\"\"", "a regular expression: wait for a line of its output that matches"),
    key("services.*.ready.fd", Count, "", "wait for a newline on this file descriptor, as with s6"),
    key("services.*.ready.http", TextOrTable, "\"\"", "a path that must answer"),
    key("services.*.ready.http.path", Text, "", "the path"),
    key("services.*.ready.http.status", Counts, "[200]", "the answers that pass"),
    key("services.*.ready.http.headers", Table, "{}", "headers to send"),
    key("services.*.ready.http.headers.*", Text, "", "one header"),
    key("services.*.ready.http.host", Text, "\"\"", "the Host to send, and the name that TLS asks for"),
    key("services.*.ready.http.tls", Flag, "false", "the service speaks TLS; its certificate is looked at, not verified"),
    key("services.*.ready.tcp", Flag, "false", "the port must accept"),
    key("services.*.ready.command", TextOrTexts, "[]", "a command that must exit with 0"),
    key("services.*.ready.delay", Duration, "\"0\"", "wait this long"),
    key("services.*.ready.interval", Duration, "\"100ms\"", "the first pause between two tries; it grows to 1s"),
    key("services.*.ready.timeout", Duration, "\"2s\"", "how long one try may take"),
    key("services.*.ready.deadline", Duration, "\"60s\"", "a start that is not ready by then has failed; 0: never"),

    key("services.*.live", Table, "", "when a ready service counts as dead although its process lives"),
    key("services.*.live.http", TextOrTable, "\"\"", "a path that must answer"),
    key("services.*.live.http.path", Text, "", "the path"),
    key("services.*.live.http.status", Counts, "[200]", "the answers that pass"),
    key("services.*.live.http.headers", Table, "{}", "headers to send"),
    key("services.*.live.http.headers.*", Text, "", "one header"),
    key("services.*.live.http.host", Text, "\"\"", "the Host to send, and the name that TLS asks for"),
    key("services.*.live.http.tls", Flag, "false", "the service speaks TLS; its certificate is looked at, not verified"),
    key("services.*.live.tcp", Flag, "false", "the port must accept"),
    key("services.*.live.command", TextOrTexts, "[]", "a command that must exit with 0"),
    key("services.*.live.interval", Duration, "\"10s\"", "the pause between two tries"),
    key("services.*.live.timeout", Duration, "\"2s\"", "how long one try may take"),
    key("services.*.live.failures", Count, "3", "so many in a row are a restart"),
    key("services.*.live.watchdog", Duration, "\"0\"", "WATCHDOG=1 must come at least this often; 0: off"),

    key("services.*.rollout", Table, "", "how a new generation replaces the old"),
    key("services.*.rollout.handoff", Choice(&["auto", "socket", "own"]), "\"auto\"", "who binds the port: the supervisor, which passes it on (`socket`), or the service (`own`, `auto`)"),
    key("services.*.rollout.overlap", Flag, "true", "may two generations share a held port; `false`: the old one is stopped first"),
    key("services.*.rollout.drain_signal", Text, "\"\"", "tells the old generation that its successor serves; by default `stop.signal`"),
    key("services.*.rollout.bake", Duration, "\"2s\"", "how long the new one must have been ready before it takes over"),
    key("services.*.rollout.warm", Duration, "\"30s\"", "a new one that fails this soon after it took over is followed by the one before"),
    key("services.*.rollout.drain", Duration, "\"30s\"", "how long the old one may take to finish what it has begun"),
    key("services.*.rollout.long_lived", Table, "", "connections that do not end by themselves, for services on our kit"),
    key("services.*.rollout.long_lived.close_after", Duration, "\"5s\"", "how long they may go on in the old one"),
    key("services.*.rollout.long_lived.spread", Duration, "\"2s\"", "over how long their ends are spread"),

    key("services.*.limits", Table, "", "what it may use"),
    key("services.*.limits.nofile", Count, "", "open files; by default what the supervisor was started with"),
    key("services.*.limits.memory", Size, "0", "memory of all its processes together: with more they are killed; 0: no limit"),
    key("services.*.limits.memory_soft", Size, "0", "with more it is replaced in its own time, by a rollout where there is one; 0: no limit"),
    key("services.*.limits.cpu", Number, "0", "cores: more are not given to it; 0: no limit"),
    key("services.*.limits.pids", Count, "0", "processes and threads; 0: no limit"),

    key("services.*.log", Table, "", "as `logs`, for this service"),
    key("services.*.log.dir", Text, "", "where its log files are"),
    key("services.*.log.max_size", Size, "", "a log file is rotated at this size; 0: never"),
    key("services.*.log.keep", Count, "", "how many rotated files are kept; 0: all"),
    key("services.*.log.compress", Choice(&["gzip", "none"]), "", "how rotated files are compressed"),
    key("services.*.log.streams", Choice(&["merged", "split"]), "", "one file, or one for stdout and one for stderr"),
    key("services.*.log.max_age", Duration, "", "rotated files older than this are removed; 0: none is too old"),
    key("services.*.log.on_full", Choice(&["drop", "block"]), "", "when the disk is full: drop output and count it, or let the service wait"),
];
