//! The program that misbehaves on request: what supervised services do wrong, one sub-command each.
//! Not here: what the supervisor should make of it; the tests say that.

mod args;
mod ends;
mod inspect;
mod listen;
mod notify;
mod output;
mod tls;
mod tree;

use std::io;

use args::Args;

fn main() -> io::Result<()> {
    let mut args = Args::of_process();
    let act = args.word("sub-command");
    match act.as_str() {
        "seq" => output::seq(args),
        "longline" => output::longline(args),
        "bytes" => output::bytes(args),
        "partial" => output::partial(args),
        "closeout" => output::closeout(),
        "holdpipe" => output::holdpipe(args),
        "late" => output::late(args),
        "tree" => tree::main(args),
        "tree-part" => tree::part(args),
        "escape" => tree::escape(args),
        "forkbomb" => tree::forkbomb(args),
        "orphans" => tree::orphans(args),
        "wait" => ends::wait(),
        "ignore-term" => ends::ignore_term(),
        "tell-signals" => ends::tell_signals(args),
        "exit-code" => ends::exit_code(args),
        "crash" => ends::crash(args),
        "signal-self" => ends::signal_self(args),
        "hog" => ends::hog(args),
        "ready-after" => notify::ready_after(args),
        "notify" => notify::notify(args),
        "watchdog" => notify::watchdog(args),
        "listen" => listen::main(args),
        "tls" => tls::main(args),
        "sigdump" => inspect::sigdump(args),
        "ttyread" => inspect::ttyread(),
        "stamp" => inspect::stamp(args),
        other => Err(io::Error::other(format!("no such sub-command: `{other}`"))),
    }
}
