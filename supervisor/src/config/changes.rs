//! What differs between two configurations, key by key, and what each difference asks for.
//! Not here: values, which may be secret; what is done about a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::{
    Check, CheckId, Liveness, Readiness, RestartPolicy, RolloutPolicy, ServiceSpec, Sign, StopPolicy,
};

use super::model::{
    Handoff, Http, Launch, Limits, Log, LogBudget, LongLived, Probe, ProbeHow, SecretSource, Service, Stack,
};

/// A key whose value is another one now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Changed {
    /// Dotted, below the service: `env.PORT`, `restart.delay`.
    pub(crate) key: String,
    pub(crate) effect: Effect,
}

/// What it takes for a change to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// Nothing: what runs goes by it at once.
    Live,
    /// Another process.
    Restart,
    /// The next start, whenever that is.
    NextStart,
}

/// The keys in which a service differs from what it was.
pub(crate) fn service_changes(old: &Service, new: &Service) -> Vec<Changed> {
    let mut differences = Differences::default();
    differences.spec(&old.spec, &new.spec);
    differences.launch(&old.launch, &new.launch);
    differences.probes("ready", [ready_probes(old), ready_probes(new)], needs_probe_socket(old));
    differences.probes("live", [live_probes(old), live_probes(new)], needs_probe_socket(old));
    differences.0
}

/// The keys of `[supervisor]`, `[http]` and `[logs]` in which a stack differs from what it was.
pub(crate) fn supervisor_changes(old: &Stack, new: &Stack) -> Vec<Changed> {
    let Stack {
        file: _,
        name,
        runtime_dir,
        state_dir,
        auto_reload,
        shutdown_timeout,
        max_parallel_starts,
        // It follows from the same key.
        max_parallel_launches: _,
        http: Http { listen, open, allowed_hosts },
        logs_dir,
        log_budget: LogBudget { total, min_free },
        services: _,
        alerts,
        // What it comes to is in the environments of the services.
        withheld: _,
    } = old;
    let mut differences = Differences::default();
    let mut add = |key, effect, differs| differences.add(key, effect, differs);
    add("supervisor.name", Effect::NextStart, *name != new.name);
    add("supervisor.runtime_dir", Effect::NextStart, *runtime_dir != new.runtime_dir);
    add("supervisor.state_dir", Effect::NextStart, *state_dir != new.state_dir);
    add("supervisor.auto_reload", Effect::Live, *auto_reload != new.auto_reload);
    add("supervisor.shutdown_timeout", Effect::Live, *shutdown_timeout != new.shutdown_timeout);
    add("supervisor.max_parallel_starts", Effect::Live, *max_parallel_starts != new.max_parallel_starts);
    add("http.listen", Effect::Live, *listen != new.http.listen);
    add("http.open", Effect::Live, *open != new.http.open);
    add("http.allowed_hosts", Effect::Live, *allowed_hosts != new.http.allowed_hosts);
    add("logs.dir", Effect::NextStart, *logs_dir != new.logs_dir);
    add("logs.total", Effect::Live, *total != new.log_budget.total);
    add("logs.min_free", Effect::Live, *min_free != new.log_budget.min_free);
    add("alerts", Effect::Live, *alerts != new.alerts);
    differences.0
}

#[derive(Default)]
struct Differences(Vec<Changed>);

impl Differences {
    fn add(&mut self, key: &str, effect: Effect, differs: bool) {
        if differs {
            self.0.push(Changed { key: key.to_owned(), effect });
        }
    }

    /// Each entry that is another one, or on one side only.
    fn entries<V: PartialEq>(&mut self, key: &str, old: &BTreeMap<String, V>, new: &BTreeMap<String, V>) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            self.add(&format!("{key}.{name}"), Effect::Restart, old.get(name) != new.get(name));
        }
    }

    fn secrets(&mut self, old: &BTreeMap<String, SecretSource>, new: &BTreeMap<String, SecretSource>) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let differs = match (old.get(name), new.get(name)) {
                (Some(SecretSource::File { path: old_path, mark: old }), Some(SecretSource::File { path, mark })) => {
                    old_path != path || old.differs(*mark)
                }
                (old, new) => old != new,
            };
            self.add(&format!("secrets.{name}"), Effect::Restart, differs);
        }
    }

    fn spec(&mut self, old: &ServiceSpec, new: &ServiceSpec) {
        let ServiceSpec {
            name: _,
            revision: _,
            kind,
            autostart,
            critical,
            depends_on,
            restart,
            stop,
            ready,
            live,
            rollout,
            instances,
        } = old;
        self.add("type", Effect::Restart, *kind != new.kind);
        self.add("autostart", Effect::Live, *autostart != new.autostart);
        self.add("critical", Effect::Live, *critical != new.critical);
        self.add("depends_on", Effect::Live, *depends_on != new.depends_on);
        self.add("instances", Effect::Live, *instances != new.instances);
        self.rollout(rollout, &new.rollout);
        self.restart(restart, &new.restart);
        let StopPolicy { signal, timeout } = stop;
        self.add("stop.signal", Effect::Live, *signal != new.stop.signal);
        self.add("stop.timeout", Effect::Live, *timeout != new.stop.timeout);
        let Readiness { signs, delay, checks: _, interval, deadline } = ready;
        let notify = |signs: &BTreeMap<Sign, String>| signs.contains_key(&Sign::Notify);
        self.add("ready.notify", Effect::Live, notify(signs) != notify(&new.ready.signs));
        self.add("ready.delay", Effect::Live, *delay != new.ready.delay);
        self.add("ready.interval", Effect::Live, *interval != new.ready.interval);
        self.add("ready.deadline", Effect::Live, *deadline != new.ready.deadline);
        if let (Some(old), Some(new)) = (live, &new.live) {
            let Liveness { checks: _, interval, failures, watchdog: _ } = old;
            self.add("live.interval", Effect::Live, *interval != new.interval);
            self.add("live.failures", Effect::Live, *failures != new.failures);
        }
    }

    fn rollout(&mut self, old: &RolloutPolicy, new: &RolloutPolicy) {
        let RolloutPolicy { overlap, drain_signal, bake, warm, drain } = old;
        self.add("rollout.overlap", Effect::Live, *overlap != new.overlap);
        self.add("rollout.drain_signal", Effect::Live, *drain_signal != new.drain_signal);
        self.add("rollout.bake", Effect::Live, *bake != new.bake);
        self.add("rollout.warm", Effect::Live, *warm != new.warm);
        self.add("rollout.drain", Effect::Live, *drain != new.drain);
    }

    fn restart(&mut self, old: &RestartPolicy, new: &RestartPolicy) {
        let RestartPolicy {
            policy,
            delay,
            factor,
            max_delay,
            jitter,
            reset_after,
            crash_loop,
            max_restarts,
            success_exit_codes,
        } = old;
        self.add("restart.policy", Effect::Live, *policy != new.policy);
        self.add("restart.delay", Effect::Live, *delay != new.delay);
        self.add("restart.factor", Effect::Live, factor.total_cmp(&new.factor).is_ne());
        self.add("restart.max_delay", Effect::Live, *max_delay != new.max_delay);
        self.add("restart.jitter", Effect::Live, jitter.total_cmp(&new.jitter).is_ne());
        self.add("restart.reset_after", Effect::Live, *reset_after != new.reset_after);
        self.add("restart.crash_loop", Effect::Live, *crash_loop != new.crash_loop);
        self.add("restart.max_restarts", Effect::Live, *max_restarts != new.max_restarts);
        self.add("restart.success_exit_codes", Effect::Live, *success_exit_codes != new.success_exit_codes);
    }

    /// The kernel, or the look, goes by the new ones at once; but open files are each process's own.
    fn limits(&mut self, old: Limits, new: Limits) {
        let Limits { memory, memory_soft, cpu_milli, pids, nofile } = old;
        self.add("limits.memory", Effect::Live, memory != new.memory);
        self.add("limits.memory_soft", Effect::Live, memory_soft != new.memory_soft);
        // What began without a group for it cannot be slowed down.
        let cpu = if cpu_milli.is_some() { Effect::Live } else { Effect::NextStart };
        self.add("limits.cpu", cpu, cpu_milli != new.cpu_milli);
        self.add("limits.pids", Effect::Live, pids != new.pids);
        self.add("limits.nofile", Effect::Restart, nofile != new.nofile);
    }

    fn launch(&mut self, old: &Launch, new: &Launch) {
        let Launch {
            name: _,
            command,
            base,
            cwd,
            env,
            env_files: _,
            secrets,
            inherit_env,
            user,
            group,
            umask,
            handoff,
            bind,
            port,
            ports,
            limits,
            probes: _,
            notify,
            ready_line,
            ready_fd,
            watchdog,
            long_lived: LongLived { close_after, spread },
            log,
        } = old;
        let moved = *base != new.base && is_relative(new);
        self.add("command", Effect::Restart, *command != new.command || moved);
        self.add("cwd", Effect::Restart, *cwd != new.cwd);
        self.entries("env", env, &new.env);
        self.secrets(secrets, &new.secrets);
        self.add("inherit_env", Effect::Restart, *inherit_env != new.inherit_env);
        self.add("user", Effect::Restart, *user != new.user);
        self.add("group", Effect::Restart, *group != new.group);
        self.add("umask", Effect::Restart, *umask != new.umask);
        self.add("rollout.handoff", Effect::Restart, *handoff != new.handoff);
        self.add("bind", Effect::Restart, *bind != new.bind);
        self.add("port", Effect::Restart, *port != new.port);
        self.entries("ports", ports, &new.ports);
        self.limits(*limits, new.limits);
        self.add("live.watchdog", Effect::Restart, *watchdog != new.watchdog);
        self.add("rollout.long_lived.close_after", Effect::Restart, *close_after != new.long_lived.close_after);
        self.add("rollout.long_lived.spread", Effect::Restart, *spread != new.long_lived.spread);
        if *notify != new.notify && *watchdog == new.watchdog {
            // Only a start can give it a socket to tell us on, or take it away.
            self.0.retain(|changed| changed.key != "ready.notify");
            self.add("ready.notify", Effect::Restart, true);
        }
        self.add("ready.log", Effect::Live, *ready_line != new.ready_line);
        self.add("ready.fd", Effect::Restart, *ready_fd != new.ready_fd);
        let Log { dir, max_size, keep, gzip, split, max_age, block } = log;
        self.add("log.dir", Effect::NextStart, *dir != new.log.dir);
        self.add("log.max_size", Effect::Live, *max_size != new.log.max_size);
        self.add("log.keep", Effect::Live, *keep != new.log.keep);
        self.add("log.compress", Effect::Live, *gzip != new.log.gzip);
        self.add("log.max_age", Effect::Live, *max_age != new.log.max_age);
        self.add("log.on_full", Effect::Live, *block != new.log.block);
        self.add("log.streams", Effect::Restart, *split != new.log.split);
    }

    fn probes(&mut self, section: &str, [old, new]: [Vec<&Probe>; 2], has_socket: HasSocket) {
        let by_kind = |probes: &[&Probe]| -> BTreeMap<&'static str, ProbeHow> {
            probes.iter().map(|probe| (kind(&probe.how), probe.how.clone())).collect()
        };
        let (old_kinds, new_kinds) = (by_kind(&old), by_kind(&new));
        for word in ["http", "tcp", "command"] {
            let differs = old_kinds.get(word) != new_kinds.get(word);
            let effect = match has_socket {
                // The socket for it is made with the process.
                HasSocket::No if word == "http" && new_kinds.contains_key(word) => Effect::Restart,
                HasSocket::No | HasSocket::Yes | HasSocket::NeedsNone => Effect::Live,
            };
            self.add(&format!("{section}.{word}"), effect, differs);
        }
        let timeout = |probes: &[&Probe]| probes.first().map(|probe| probe.timeout);
        let both = timeout(&old).zip(timeout(&new));
        self.add(&format!("{section}.timeout"), Effect::Live, both.is_some_and(|(old, new)| old != new));
    }
}

/// Does what runs have the private socket that http checks are made on?
#[derive(Debug, Clone, Copy)]
enum HasSocket {
    Yes,
    No,
    /// They are made on its port.
    NeedsNone,
}

fn needs_probe_socket(service: &Service) -> HasSocket {
    let http = service.launch.probes.values().any(|probe| kind(&probe.how) == "http");
    match service.launch.handoff {
        Handoff::Own => HasSocket::NeedsNone,
        Handoff::Socket if http => HasSocket::Yes,
        Handoff::Socket => HasSocket::No,
    }
}

fn kind(how: &ProbeHow) -> &'static str {
    match how {
        ProbeHow::Http { .. } => "http",
        ProbeHow::Tcp => "tcp",
        ProbeHow::Command(_) => "command",
    }
}

fn ready_probes(service: &Service) -> Vec<&Probe> {
    probes(&service.launch.probes, &service.spec.ready.checks)
}

fn live_probes(service: &Service) -> Vec<&Probe> {
    let live = service.spec.live.as_ref();
    live.map(|live| probes(&service.launch.probes, &live.checks)).unwrap_or_default()
}

fn probes<'a>(all: &'a BTreeMap<CheckId, Probe>, checks: &[Check]) -> Vec<&'a Probe> {
    checks.iter().filter_map(|check| all.get(&check.id)).collect()
}

/// Its program is named relative to the file that says it.
fn is_relative(launch: &Launch) -> bool {
    let program = launch.command.first().map(|program| program.render(0)).unwrap_or_default();
    program.contains('/') && Path::new(&program).is_relative()
}
