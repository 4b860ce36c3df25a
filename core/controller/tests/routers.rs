//! From the store to routers: with real TLS over loopback, and kernels in memory.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use patronus_access::audit::{Actor, Event, Outcome};
use patronus_control::router::{Device, Report, Router};
use patronus_control::serve::{Controller as Server, ServeSettings};
use patronus_control::session::{
    Configuration, ControllerSettings, Facts, Memory, Status, Version,
};
use patronus_control::tls::{Shown, controller_config};
use patronus_control::{ConnectError, Enrolled, Monotonic, WallClock, enrol};
use patronus_controller::{Commit, Controller, NewToken, Progress, Routers};
use patronus_identity::{
    Authority, ControllerName, Enrolment, IdentityError, PrivateKey, SiteIdentity, Token,
};
use patronus_model::ids::SiteId;
use patronus_store::Store;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

const EXAMPLE: &str = include_str!("../../../docs/examples/network.yaml");
const PATIENCE: Duration = Duration::from_secs(60);

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn event(action: &str) -> Event {
    Event {
        at: 1_795_000_000_000,
        actor: Actor::User("anna".to_owned()),
        address: None,
        action: action.to_owned(),
        object: "site/berlin".to_owned(),
        outcome: Outcome::Done,
        detail: String::new(),
    }
}

fn berlin() -> SiteId {
    "berlin".parse().unwrap()
}

/// A controller that runs, on the store and the authority in a folder.
struct Running {
    controller: Arc<Controller>,
    routers: Arc<Routers>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    tasks: [JoinHandle<()>; 2],
}

impl Running {
    async fn start(folder: &Path, port: u16) -> Self {
        let store = Store::open(&format!("sqlite://{}/controller.db", folder.display()))
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let clock = WallClock::system();
        let authority = Authority::open_or_create(&folder.join("ca.pem"), clock.now()).unwrap();
        let key = PrivateKey::generate().unwrap();
        let names = [ControllerName::try_from("127.0.0.1").unwrap()];
        let issued = authority.issue_controller(&names, &key, clock.now());
        let shown = Shown::new(&issued.unwrap(), &key).unwrap();
        let certificate = authority.certificate().clone();
        let monotonic = Monotonic::start();
        let controller = Arc::new(Controller::open(store).await.unwrap());
        let routers = Routers::open(Arc::clone(&controller), authority, clock.clone(), monotonic);
        let routers = Arc::new(routers.await.unwrap());
        let (_, shows) = watch::channel(shown);
        let revoked = routers.revocations();
        let tls = controller_config(shows, &certificate, revoked.clone(), &clock).unwrap();
        let settings = ServeSettings {
            session: ControllerSettings {
                heartbeat: Duration::from_millis(200),
                settle: Duration::from_millis(100),
                ..ControllerSettings::default()
            },
            ..ServeSettings::default()
        };
        let server = Server {
            desk: Arc::clone(&routers),
            tls: Arc::new(tls),
            revocations: revoked,
            clock,
            monotonic,
            settings,
        };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server.serve(listener, stopped).await.unwrap();
        });
        let follower = Arc::clone(&routers);
        let following = tokio::spawn(async move { follower.follow().await.unwrap() });
        Self {
            controller,
            routers,
            address,
            stop,
            tasks: [serving, following],
        }
    }

    async fn stop(self) {
        drop(self.stop);
        let [serving, following] = self.tasks;
        serving.await.unwrap();
        following.abort();
        self.controller.store().close().await;
    }

    async fn commit(&self, text: &str) -> u64 {
        let controller = &self.controller;
        controller.stage("anna", text, "text", 0).await.unwrap();
        let commit = Commit {
            author: "anna".to_owned(),
            ..Commit::default()
        };
        let made = controller.commit("anna", &commit, 0).await.unwrap();
        made.number.try_into().unwrap()
    }

    async fn token(&self, approval: bool) -> Token {
        let new = NewToken {
            site: berlin(),
            controllers: vec![format!("https://{}", self.address).parse().unwrap()],
            life: Duration::from_secs(3600),
            approval,
        };
        self.routers
            .make_token(new, &event("token.create"))
            .await
            .unwrap()
    }

    fn progress(&self) -> Option<Progress> {
        self.routers.progress().borrow().get(&berlin()).cloned()
    }

    fn is_confirmed(&self) -> bool {
        self.progress() == Some(Progress::Connected(Status::Confirmed))
    }
}

async fn ask(token: &Token, key: &PrivateKey) -> Result<Enrolled, Vec<ConnectError>> {
    enrol(token, key, &Facts::new(), &WallClock::system()).await
}

async fn enrolled(token: &Token) -> SiteIdentity {
    let key = PrivateKey::generate().unwrap();
    let enrolled = ask(token, &key).await.unwrap();
    enrolled.identity(key).unwrap().unwrap()
}

#[derive(Default)]
struct Kernel {
    disk: Mutex<Memory>,
    reports: Mutex<Vec<String>>,
}

impl Device for Kernel {
    async fn store(&self, memory: Memory) -> Result<(), String> {
        *self.disk.lock().unwrap() = memory;
        Ok(())
    }

    async fn apply(&self, _: Option<Configuration>) -> Result<(), String> {
        Ok(())
    }

    fn keep(&self, _: &SiteIdentity) -> Result<(), IdentityError> {
        Ok(())
    }

    fn report(&self, report: Report) {
        self.reports.lock().unwrap().push(format!("{report:?}"));
    }
}

/// A router that runs.
struct Started {
    kernel: Arc<Kernel>,
    task: JoinHandle<()>,
}

impl Started {
    fn new(identity: SiteIdentity, token: &Token, memory: Memory) -> Self {
        let kernel = Arc::new(Kernel::default());
        *kernel.disk.lock().unwrap() = memory.clone();
        let (facts, told) = watch::channel(Facts::new());
        let router = Router {
            device: Arc::clone(&kernel),
            identity,
            controllers: token.urls().to_vec(),
            memory,
            facts: told,
            clock: WallClock::system(),
        };
        let task = tokio::spawn(async move {
            router.run(std::future::pending()).await;
            drop(facts);
        });
        Self { kernel, task }
    }

    fn kept(&self) -> Option<Version> {
        let disk = self.kernel.disk.lock().unwrap();
        disk.confirmed.as_ref().map(|it| it.version)
    }

    fn reports(&self) -> String {
        self.kernel.reports.lock().unwrap().join("\n")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const fn version(epoch: u64, generation: u64) -> Option<Version> {
    Some(Version { epoch, generation })
}

const BULK: &str = "kind: class\nname: bulk\nid: 60\nqos: bulk\ndscp: 10\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_is_told_what_is_committed_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let net = Running::start(folder.path(), 0).await;
    let new = NewToken {
        site: berlin(),
        controllers: Vec::new(),
        life: Duration::from_secs(1),
        approval: false,
    };
    let refused = net.routers.make_token(new, &event("token.create")).await;
    assert!(refused.unwrap_err().to_string().contains("no network yet"));
    let first = net.commit(EXAMPLE).await;
    let token = net.token(false).await;
    let router = Started::new(enrolled(&token).await, &token, Memory::default());
    eventually("it is kept", || router.kept() == version(0, first)).await;
    eventually("that is known", || net.is_confirmed()).await;
    let second = net.commit(BULK).await;
    eventually("it is kept", || router.kept() == version(0, second)).await;

    // Another router takes its place, if a person lets it.
    let other = net.token(true).await;
    let key = PrivateKey::generate().unwrap();
    assert!(matches!(ask(&other, &key).await, Ok(Enrolled::Waiting(_))));
    let (site, number) = (berlin(), Enrolment::FIRST.next());
    let approve = event("router.approve");
    assert!(net.routers.approve(&site, number, &approve).await.unwrap());
    eventually("the first is cut off", || {
        router.reports().contains("was revoked, or another one")
    })
    .await;
    let identity = ask(&other, &key).await.unwrap().identity(key);
    let other = Started::new(identity.unwrap().unwrap(), &other, Memory::default());
    eventually("it is kept", || other.kept() == version(0, second)).await;

    let revoke = event("router.revoke");
    assert!(net.routers.revoke(&site, number, &revoke).await.unwrap());
    eventually("it is cut off", || {
        other.reports().contains("was revoked, or another one")
    })
    .await;
    let third = net.commit(&BULK.replace("dscp: 10", "dscp: 12")).await;
    assert!(third > second);
    assert_eq!(other.kept(), version(0, second), "it is told nothing more");
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_controller_is_silent_until_it_is_told_to_go_on() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let net = Running::start(folder.path(), 0).await;
    let first = net.commit(EXAMPLE).await;
    let token = net.token(false).await;
    let port = net.address.port();
    let identity = enrolled(&token).await;
    net.stop().await;
    for file in ["controller.db", "ca.pem"] {
        std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }

    let net = Running::start(folder.path(), port).await;
    let second = net.commit(BULK).await;
    let router = Started::new(identity, &token, Memory::default());
    eventually("it is kept", || router.kept() == version(0, second)).await;
    net.stop().await;

    let net = Running::start(copy.path(), port).await;
    let behind = Some(Progress::Connected(Status::Behind(
        version(0, second).unwrap(),
    )));
    eventually("it is behind", || net.progress() == behind).await;
    assert_eq!(router.kept(), version(0, second));
    assert_eq!(net.routers.go_on(&event("epoch.begin")).await.unwrap(), 1);
    eventually("it goes on", || router.kept() == version(1, first)).await;
    net.stop().await;
}
