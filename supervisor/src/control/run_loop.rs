//! The one loop that owns the fleet: wait for the first thing to happen, deal with all that has happened, publish.
//! Not here: what is decided (`supervisor-core`), how an effect is carried out (`effects`), `keeper::words`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use supervisor_core::{Event, Fleet, ServiceName, Time};
use supervisor_logs::Pump;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};

use super::ControlArgs;
use super::api::operations::Operations;
use super::api::sockets::Sockets;
use super::api::view::{Ask, Facts, Known, Rejected, View};
use super::errands::Running;
use super::gap::Gaps;
use super::keeper::inventory::Inventory;
use super::keeper::link::Link;
use super::launch::listeners::Listener;
use super::launch::prepare::Places;
use super::launch::programs::Programs;
use super::launch::workshop::Workshop;
use super::limits::Watch;
pub(crate) use super::news::News;
use super::probe::command::Helper;
use super::reload::catalogue::Catalogue;
use super::reload::in_force::InForce;
use super::reload::{ReloadAsk, Reloads};
use super::run::Run;
use super::signs::lines::Lines;
use super::signs::notify::Told;
use super::telling::certificates::Certificates;
use super::telling::foreground::Foreground;
use super::telling::history::History;
use super::telling::instruments::Instruments;
use super::threads::Threads;
use super::tree::survey::Surveys;
use crate::alerts::{Alerts, Beginning};

/// Requests of the API that wait.
const ASKS: usize = 64;
/// News of tasks that waits; a full queue slows the tasks, never the loop.
const NEWS: usize = 1024;
/// The readers of notify sockets get so many turns before a deadline is judged.
const LAST_LOOKS: usize = 3;
/// The first starts have this long before anything else is begun.
const FIRST_STARTS: Duration = Duration::from_millis(5);
/// So much is dealt with before the world is told.
const BATCH: usize = 256;

/// Everything that the loop owns.
pub(crate) struct Control {
    pub(crate) args: ControlArgs,
    pub(crate) in_force: InForce,
    pub(crate) catalogue: Catalogue,
    pub(crate) workshop: Workshop,
    pub(crate) threads: Threads,
    pub(crate) reloads: Reloads,
    /// The files say something else than what is in force, and it cannot be.
    pub(crate) rejected: Option<Arc<Rejected>>,
    pub(crate) fleet: Fleet,
    pub(crate) link: Link,
    pub(crate) pump: Pump,
    pub(crate) instruments: Instruments,
    pub(crate) places: Places,
    pub(crate) runs: BTreeMap<u64, Run>,
    /// Groups of runs that are over.
    pub(crate) emptied: Vec<PathBuf>,
    pub(crate) listeners: BTreeMap<ServiceName, Vec<Arc<Listener>>>,
    pub(crate) programs: Programs,
    pub(crate) helpers: BTreeMap<u64, Helper>,
    pub(crate) next_helper: u64,
    pub(crate) errands: BTreeMap<u64, Running>,
    pub(crate) alerts: Alerts,
    pub(crate) surveys: Surveys,
    pub(crate) watch: Watch,
    pub(crate) history: History,
    pub(crate) certificates: Certificates,
    pub(crate) shutdown_timeout: Duration,
    /// Whoever started us gives us no more for it.
    pub(crate) longest_shutdown: Option<Duration>,
    pub(crate) facts: Arc<Known>,
    pub(crate) operations: Operations,
    pub(crate) view: Arc<ArcSwap<View>>,
    /// The version of the view, for those who wait for another one.
    pub(crate) shown: watch::Sender<u64>,
    pub(crate) keeper_pid: i32,
    pub(crate) token: String,
    pub(crate) sockets: Option<Sockets>,
    pub(crate) http: Option<std::net::SocketAddr>,
    /// Tells when the API's socket is removed.
    pub(crate) watcher: Option<::notify::RecommendedWatcher>,
    /// Dropped, it ends the service over TCP.
    pub(crate) serving_tcp: Option<oneshot::Sender<()>>,
    /// Dropped, it ends the service on a socket that was made again.
    pub(crate) reopened: Option<oneshot::Sender<()>>,
    pub(crate) asks: (mpsc::Sender<Ask>, mpsc::Receiver<Ask>),
    /// How often the API lets anything be changed.
    pub(crate) change_rate: Arc<crate::api::Rate>,
    pub(crate) reload_asks: (mpsc::Sender<ReloadAsk>, mpsc::Receiver<ReloadAsk>),
    pub(crate) news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    pub(crate) told: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
    pub(crate) lines: Lines,
    pub(crate) tasks: JoinSet<io::Result<()>>,
    pub(crate) gaps: Gaps,
    /// Shows what is logged, in the foreground.
    pub(crate) foreground: Option<Foreground>,
    /// The fleet is down: only the last words are left.
    pub(crate) down: bool,
}

impl Control {
    #[expect(clippy::too_many_arguments, reason = "the parts are made one by one, and each can fail")]
    pub(crate) fn new(
        args: ControlArgs,
        in_force: InForce,
        mut fleet: Fleet,
        link: Link,
        pump: Pump,
        places: Places,
        sockets: Sockets,
        token: String,
        history: History,
        shutdown_timeout: Duration,
        inventory: &Inventory,
    ) -> Self {
        let mut catalogue = Catalogue::default();
        catalogue.put_in_force(&in_force.stack, 0);
        let facts = Arc::new(Facts::of_stack(&in_force.stack).collect());
        let operations = Operations::recovered(&inventory.records);
        let told = mpsc::channel(NEWS);
        let view = View::new(&in_force, &mut fleet, &facts, &operations, inventory.keeper_pid, sockets.address);
        Self {
            args,
            catalogue,
            workshop: Workshop::default(),
            threads: Threads::default(),
            reloads: Reloads::default(),
            rejected: None,
            fleet,
            link,
            instruments: Instruments::new(&places.cookie, pump.clone()),
            pump,
            places,
            runs: BTreeMap::new(),
            emptied: Vec::new(),
            listeners: BTreeMap::new(),
            programs: Programs::default(),
            helpers: BTreeMap::new(),
            next_helper: super::probe::command::FIRST,
            errands: BTreeMap::new(),
            alerts: Alerts::default(),
            surveys: Surveys::default(),
            watch: Watch::default(),
            history,
            certificates: Certificates::recovered(&inventory.records),
            shutdown_timeout,
            longest_shutdown: super::startup::longest_shutdown(inventory),
            facts,
            view: Arc::new(ArcSwap::from_pointee(view)),
            shown: watch::Sender::new(0),
            operations,
            keeper_pid: inventory.keeper_pid,
            token,
            http: sockets.address,
            sockets: Some(sockets),
            watcher: None,
            serving_tcp: None,
            reopened: None,
            asks: mpsc::channel(ASKS),
            change_rate: crate::api::change_rate(),
            reload_asks: mpsc::channel(ASKS),
            news: mpsc::channel(NEWS),
            lines: Lines::new(told.0.clone()),
            told,
            tasks: JoinSet::new(),
            gaps: Gaps::new(),
            foreground: None,
            down: false,
            in_force,
        }
    }

    /// The first wish of a supervisor that has never wished anything.
    pub(crate) fn begin_first(&mut self) {
        self.warn_of_open_files();
        self.happen(super::startup::first_wish(&self.args, &self.in_force.stack));
    }

    /// Until the supervisor is to end. An error ends control; the keeper starts another one.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        self.hand_over_first().await?;
        self.serve_api()?;
        self.watch_socket();
        self.watch_logs();
        self.watch_files();
        self.publish();
        self.begin_alerts(Beginning::Start);
        self.remove_abandoned_groups();
        while !self.down {
            self.history.journal.hand_over();
            self.wait().await?;
            for _ in 0..BATCH {
                if !self.poll()? {
                    break;
                }
            }
            self.mirror();
            self.review_operations();
            self.history.journal.hand_over();
            self.link.flush();
            self.remove_groups();
            self.publish();
            if self.fleet.shutting_down() {
                // The kernel takes a while to let go of watches; meanwhile the services stop.
                self.watcher.take();
                self.watch_files();
            }
        }
        self.finish().await
    }

    /// Until what is being prepared is with the keeper: it forks while we open our doors, which nobody waits for so
    /// soon. What takes longer is dealt with as ever.
    async fn hand_over_first(&mut self) -> io::Result<()> {
        let until = tokio::time::Instant::now() + FIRST_STARTS;
        while !self.workshop.is_empty()
            && let Ok(dealt_with) = tokio::time::timeout_at(until, self.wait()).await
        {
            dealt_with?;
        }
        Ok(())
    }

    /// Deals with the first thing that happens. Cancel safe.
    async fn wait(&mut self) -> io::Result<()> {
        let deadline = self.fleet.next_deadline();
        tokio::select! {
            heard = self.link.next() => self.hear(heard?)?,
            Some(ask) = self.asks.1.recv() => self.answer(ask),
            Some(ask) = self.reload_asks.1.recv() => self.ask_reload(ask),
            Some(news) = self.news.1.recv() => self.learn(news),
            Some(told) = self.told.1.recv() => self.take_in(told),
            Some(ended) = self.tasks.join_next() => task_ended(ended)?,
            () = until(deadline) => self.judge().await,
        }
        if let Some(gap) = self.gaps.look(deadline, super::now()) {
            tracing::warn!("resumed after {} s in which nothing of the supervisor ran", gap / 1000);
            self.history.stood_still(gap / 1000);
        }
        Ok(())
    }

    /// A deadline has come. What a service said in time is heard first, even if we were too slow to read it.
    async fn judge(&mut self) {
        for _ in 0..LAST_LOOKS {
            tokio::task::yield_now().await;
            while let Ok(told) = self.told.1.try_recv() {
                self.take_in(told);
            }
        }
        self.happen(Event::DeadlineReached);
    }

    /// Deals with one more thing, if one is there.
    fn poll(&mut self) -> io::Result<bool> {
        if let Some(heard) = self.link.try_next()? {
            self.hear(heard)?;
        } else if let Ok(news) = self.news.1.try_recv() {
            self.learn(news);
        } else if let Ok(told) = self.told.1.try_recv() {
            self.take_in(told);
        } else if let Ok(ask) = self.asks.1.try_recv() {
            self.answer(ask);
        } else if let Ok(ask) = self.reload_asks.1.try_recv() {
            self.ask_reload(ask);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// What follows from it is on its way to the keeper before it is taken from where it stands.
    fn take_in(&mut self, told: Told) {
        let Told { event, source } = told;
        self.happen(event);
        self.link.let_go_once_written(source);
    }

    /// Tells the core, and does what it says.
    pub(crate) fn happen(&mut self, event: Event) {
        self.count(&event);
        let commands = self.fleet.handle(super::now(), event);
        self.carry_out_all(commands);
    }

    pub(crate) fn learn(&mut self, news: News) {
        match news {
            News::Prepared { run, result } => self.prepared(run, *result),
            News::Overdue { run } => self.overdue(run),
            News::Probed(probed) => self.probed(probed),
            News::HelperReady { id, result, output } => self.helper_ready(id, result, output),
            News::Sorted { by_run } => self.surveyed(&by_run),
            News::Drained { run } => self.drained(run),
            News::ProgramsSeen { services, rebuilt } => self.programs_seen(services, &rebuilt),
            News::Reopened { service, name, times } => self.reopened_listener(&service, &name, times),
            News::LookDue => self.look(),
            News::Looked(findings) => self.looked(&findings),
            News::LookHangs(runs) => self.look_hangs(runs),
            News::LookWentOn(runs) => self.look_went_on(&runs),
            News::LimitsRenewed(renewed) => self.limits_renewed(renewed),
            News::SocketRemoved => self.reopen_socket(),
            News::LogTrouble => self.see_log_trouble(),
            News::FilesTouched => self.files_touched(),
            News::ReloadDue => self.reload_due(),
            News::Loaded(loaded) => self.loaded(*loaded),
            News::Errand(errand) => self.run_errand(*errand),
            News::Alerts(states) => self.alerts.shown = states,
        }
    }
}

async fn until(deadline: Option<Time>) {
    match deadline {
        Some(deadline) => {
            tokio::time::sleep(Duration::from_millis(deadline.since(super::now()))).await;
        }
        None => std::future::pending().await,
    }
}

/// A task that panicked leaves someone waiting for ever: a new control knows what to do about it.
fn task_ended(ended: Result<io::Result<()>, JoinError>) -> io::Result<()> {
    match ended {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}
