//! A strict stand-in for Microsoft Entra and Microsoft Graph: the whole login without Azure, and a witness that tests
//! ask afterwards whether the client did everything right.
//! Not here: the program for the sandbox (`main`), and nothing that leaves this machine.
#![warn(missing_docs)]

mod bounded;
mod call;
mod clock;
mod control;
mod entra;
mod graph;
mod journal;
mod keys;
mod parameters;
mod people;
mod prime;
mod random;
mod reply;
mod script;
mod server;
mod settings;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use entra::fault::Fault;
pub use journal::{Entry, Rule, Violation};
pub use people::{User, sandbox_users};
pub use script::{Canned, Place, Script, Then};
pub use settings::{Login, OldRefreshTokens, Settings};
pub use world::{App, Plan, TENANT};

use world::World;

/// The world as the server and the tests share it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Nothing is awaited while this is held. A panic in a test must not hide what the others saw.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fake that runs on a thread of its own, on loopback, until it is dropped. Dropping it fails the test when a rule
/// was broken that nobody took note of with [`Fake::take_violations`].
pub struct Fake {
    shared: Shared,
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts one on a free port, with the tenant, the users and the application of the sandbox.
    ///
    /// # Errors
    /// When loopback has no free port, or the system no random numbers.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Plan::default())
    }

    /// Starts one.
    ///
    /// # Errors
    /// When the port is taken, or the system has no random numbers.
    pub fn start_with(plan: Plan) -> io::Result<Self> {
        let (listener, address) = server::bind(plan.port)?;
        let shared = Shared(Arc::new(Mutex::new(World::new(plan, address))));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = shared.clone();
        let thread = std::thread::Builder::new().name("fake-m365".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = server::serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { shared, address, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`: what Graph and Entra have in common here.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What stands for `https://login.microsoftonline.com/TENANT/v2.0`.
    #[must_use]
    pub fn authority(&self) -> String {
        self.shared.lock().issuer(TENANT)
    }

    /// What stands for `https://graph.microsoft.com`; paths begin with `/v1.0`.
    #[must_use]
    pub fn graph(&self) -> String {
        self.base()
    }

    /// The first registered application, with its secret.
    ///
    /// # Panics
    /// When it was started without any.
    #[must_use]
    pub fn app(&self) -> App {
        self.shared.lock().apps.first().cloned().expect("the plan has an application")
    }

    /// Registers one more redirect URI for every application.
    pub fn allow_redirect(&self, uri: &str) {
        self.shared.lock().allow_redirect(uri);
    }

    /// Registers an application.
    pub fn add_app(&self, app: App) {
        self.shared.lock().apps.push(app);
    }

    /// Adds a user, or replaces the one of that object id.
    pub fn add_user(&self, user: User) {
        self.shared.lock().put_user(user);
    }

    /// Who signs in at every login from now on, by user principal name; a `login_hint` wins over it.
    pub fn sign_in_as(&self, upn: &str) {
        self.shared.lock().settings.sign_in_as = Some(upn.to_owned());
    }

    /// Changes settings.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.lock().settings);
    }

    /// Something out of the ordinary to happen, after what was scripted before.
    pub fn script(&self, script: Script) {
        self.shared.lock().scripts.push(script);
    }

    /// A new key signs from now on; the old ones stay published unless `forget_old_keys` follows.
    pub fn rotate_keys(&self) {
        self.shared.lock().keys.rotate();
    }

    /// Publishes the newest key only.
    pub fn forget_old_keys(&self) {
        self.shared.lock().keys.forget_old();
    }

    /// Ends every refresh token of a user, as a changed password does.
    pub fn revoke(&self, upn: &str) {
        self.shared.lock().revoke(upn);
    }

    /// Every request so far, oldest first, with secrets redacted. At most the last 10,000.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        self.shared.lock().journal.entries()
    }

    /// The rules that were broken so far, which a test that expects them takes away.
    #[must_use]
    pub fn take_violations(&self) -> Vec<Violation> {
        self.shared.lock().journal.take_violations()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ended_by_itself = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
        if !std::thread::panicking() {
            let broken = self.shared.lock().journal.take_violations();
            assert!(broken.is_empty(), "the client broke rules of Entra or Graph: {broken:#?}");
        }
    }
}
