//! Controllers and routers over loopback, with real TLS, on a store and a kernel in memory.
#![allow(dead_code, reason = "each test uses a part of it")]

mod raw;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use patronus_control::router::{Device, Report, Router};
use patronus_control::serve::{Controller, Desk, NotEnrolled, ServeSettings};
use patronus_control::session::{
    Configuration, ControllerSettings, Facts, Memory, Piece, PieceId, Snapshot, Status, Target,
    Version,
};
use patronus_control::tls::{Shown, controller_config};
use patronus_control::wire::{EnrolAnswer, EnrolAsk};
use patronus_control::{ConnectError, Enrolled, Monotonic, WallClock, enrol};
use patronus_identity::{
    Authority, ControllerName, ControllerUrl, Enrolment, IdentityError, NotRedeemed, PrivateKey,
    Request, Revocations, SiteCertificate, SiteIdentity, Token, TokenRecord,
};
use patronus_model::ids::SiteId;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

#[allow(unused_imports, reason = "each test uses a part of it")]
pub(crate) use raw::Raw;

/// A clock that is wrong by so many seconds.
#[derive(Clone, Default)]
pub(crate) struct Skew(Arc<AtomicI64>);

impl Skew {
    pub(crate) fn set(&self, days: i64) {
        self.hours(days * 24);
    }

    pub(crate) fn hours(&self, hours: i64) {
        self.seconds(hours * 3_600);
    }

    pub(crate) fn seconds(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> WallClock {
        let skew = self.clone();
        WallClock::new(move || {
            let seconds = skew.0.load(Ordering::SeqCst);
            let by = Duration::from_secs(seconds.unsigned_abs());
            let now = SystemTime::now();
            if seconds < 0 { now - by } else { now + by }
        })
    }
}

pub(crate) fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

pub(crate) fn settings() -> ServeSettings {
    ServeSettings {
        session: ControllerSettings {
            heartbeat: Duration::from_millis(200),
            settle: Duration::from_millis(100),
            confirm_within: Duration::from_secs(3),
        },
        ..ServeSettings::default()
    }
}

/// A configuration of some 100 kB, of which two pieces are different in each generation.
pub(crate) fn configuration(generation: u64) -> Configuration {
    let own = Piece::new(PieceId::Own, format!("own {generation}")).unwrap();
    let others = (0..50).map(|it| {
        let id = PieceId::Site(format!("site-{it}").parse().unwrap());
        let text = if it == 0 { generation } else { 0 };
        Piece::new(id, format!("{text} {}", "x".repeat(2_000))).unwrap()
    });
    let pieces = [own].into_iter().chain(others).map(Arc::new);
    Configuration {
        version: Version {
            epoch: 0,
            generation,
        },
        snapshot: Snapshot::new(pieces).unwrap(),
    }
}

pub(crate) fn target(generation: u64) -> Option<Target> {
    let configuration = configuration(generation);
    let held_until = None;
    Some(Target {
        configuration,
        held_until,
    })
}

pub(crate) struct TestDesk {
    pub(crate) authority: Arc<Authority>,
    pub(crate) tokens: Mutex<Vec<TokenRecord>>,
    pub(crate) approves: Mutex<bool>,
    targets: Mutex<BTreeMap<SiteId, watch::Sender<Option<Target>>>>,
    pub(crate) told: Mutex<BTreeMap<SiteId, Facts>>,
    pub(crate) stands: Mutex<BTreeMap<SiteId, String>>,
    /// How often it was told something, and whether it takes that in just now.
    pub(crate) tells: AtomicU32,
    pub(crate) takes_in: watch::Sender<bool>,
    clock: WallClock,
}

impl TestDesk {
    fn issue(&self, site: &SiteId, request: &[u8]) -> Result<SiteCertificate, String> {
        let request = Request::from_der(request).map_err(|error| error.to_string())?;
        let now = self.clock.now();
        let issued = self
            .authority
            .issue_site(site, Enrolment::FIRST, &request, now);
        issued.map_err(|error| error.to_string())
    }

    pub(crate) fn aim(&self, name: &str, target: Option<Target>) {
        let mut targets = self.targets.lock().unwrap();
        let sender = targets
            .entry(site(name))
            .or_insert_with(|| watch::Sender::new(None));
        sender.send_replace(target);
    }

    pub(crate) fn stands(&self, name: &str) -> String {
        let stands = self.stands.lock().unwrap();
        stands.get(&site(name)).cloned().unwrap_or_default()
    }
}

impl Desk for TestDesk {
    async fn enrol(&self, ask: EnrolAsk, _from: IpAddr) -> Result<EnrolAnswer, NotEnrolled> {
        let request = Request::from_der(&ask.request)
            .map_err(|error| NotEnrolled::Request(error.to_string()))?;
        let mut tokens = self.tokens.lock().unwrap();
        let record = tokens.iter_mut().find(|it| it.id == ask.token);
        let record = record.ok_or(NotRedeemed::Unknown)?;
        let now = self.clock.now();
        record.state = record.redeem(ask.token, &ask.secret, request.key(), now)?;
        if !*self.approves.lock().unwrap() {
            return Ok(EnrolAnswer::Waiting(Duration::from_secs(7)));
        }
        let certificate = self.issue(&record.site, &ask.request);
        let certificate = certificate.map_err(NotEnrolled::Later)?;
        Ok(EnrolAnswer::Enrolled {
            certificate: certificate.der().to_vec(),
            authority: self.authority.certificate().to_vec(),
        })
    }

    fn targets(&self, site: &SiteId) -> watch::Receiver<Option<Target>> {
        let mut targets = self.targets.lock().unwrap();
        let sender = targets
            .entry(site.clone())
            .or_insert_with(|| watch::Sender::new(None));
        sender.subscribe()
    }

    fn known(&self, _site: &SiteId) -> Vec<Snapshot> {
        Vec::new()
    }

    async fn told(&self, site: &SiteId, facts: Facts) {
        let mut takes_in = self.takes_in.subscribe();
        takes_in.wait_for(|takes_in| *takes_in).await.unwrap();
        self.tells.fetch_add(1, Ordering::SeqCst);
        self.told.lock().unwrap().insert(site.clone(), facts);
    }

    async fn renew(
        &self,
        certificate: &SiteCertificate,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let issued = self.issue(&certificate.site, &request)?;
        Ok(issued.der().to_vec())
    }

    fn stands(&self, site: &SiteId, status: Result<&Status, &str>) {
        let text = match status {
            Ok(status) => format!("{status:?}"),
            Err(reason) => format!("gone: {reason}"),
        };
        self.stands.lock().unwrap().insert(site.clone(), text);
    }
}

/// A controller that runs.
pub(crate) struct Net {
    pub(crate) authority: Arc<Authority>,
    pub(crate) desk: Arc<TestDesk>,
    pub(crate) revocations: watch::Sender<Arc<Revocations>>,
    pub(crate) address: SocketAddr,
    pub(crate) url: ControllerUrl,
    pub(crate) skew: Skew,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    shown: watch::Sender<Shown>,
}

impl Net {
    pub(crate) async fn start() -> Self {
        let authority = Authority::create(WallClock::system().now()).unwrap();
        Self::start_with(Arc::new(authority), settings(), &["127.0.0.1"]).await
    }

    pub(crate) async fn start_with(
        authority: Arc<Authority>,
        settings: ServeSettings,
        names: &[&str],
    ) -> Self {
        Self::start_skewed(authority, settings, names, Skew::default()).await
    }

    /// A controller in so many days.
    pub(crate) async fn start_in(days: i64) -> Self {
        let authority = Authority::create(WallClock::system().now()).unwrap();
        let skew = Skew::default();
        skew.set(days);
        Self::start_skewed(Arc::new(authority), settings(), &["127.0.0.1"], skew).await
    }

    async fn start_skewed(
        authority: Arc<Authority>,
        settings: ServeSettings,
        names: &[&str],
        skew: Skew,
    ) -> Self {
        let key = PrivateKey::generate().unwrap();
        let names: Vec<_> = names
            .iter()
            .map(|name| ControllerName::try_from(name.to_string()).unwrap())
            .collect();
        let now = skew.clock().now();
        let issued = authority.issue_controller(&names, &key, now).unwrap();
        let shown = Shown::new(&issued, &key).unwrap();
        Self::show(authority, settings, shown, skew).await
    }

    pub(crate) async fn show(
        authority: Arc<Authority>,
        settings: ServeSettings,
        shown: Shown,
        skew: Skew,
    ) -> Self {
        let clock = skew.clock();
        let (shown, shows) = watch::channel(shown);
        let (revocations, revoked) = watch::channel(Arc::new(Revocations::default()));
        let tls = controller_config(shows, authority.certificate(), revoked.clone(), &clock);
        let desk = Arc::new(TestDesk {
            authority: Arc::clone(&authority),
            tokens: Mutex::default(),
            approves: Mutex::new(true),
            targets: Mutex::default(),
            told: Mutex::default(),
            stands: Mutex::default(),
            tells: AtomicU32::default(),
            takes_in: watch::Sender::new(true),
            clock: clock.clone(),
        });
        let controller = Controller {
            desk: Arc::clone(&desk),
            tls: Arc::new(tls.unwrap()),
            revocations: revoked,
            clock,
            monotonic: Monotonic::start(),
            settings,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            controller.serve(listener, stopped).await.unwrap();
        });
        Self {
            authority,
            desk,
            revocations,
            address,
            url: format!("https://{address}").parse().unwrap(),
            skew,
            stop: Some(stop),
            server: Some(server),
            shown,
        }
    }

    /// Stops it, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            server.await.unwrap();
        }
    }

    pub(crate) fn revoke(&self, change: impl FnOnce(&mut Revocations)) {
        self.revocations
            .send_modify(|revocations| change(Arc::make_mut(revocations)));
    }

    pub(crate) fn token(&self, name: &str) -> Token {
        let expires = WallClock::system().now() + Duration::from_secs(3600);
        let fingerprint = self.authority.fingerprint();
        let token = Token::generate(fingerprint, vec![self.url.clone()], expires).unwrap();
        let record = TokenRecord::of(&token, site(name));
        self.desk.tokens.lock().unwrap().push(record);
        token
    }

    /// The identity of a router of this network, without asking the controller.
    pub(crate) fn identity(&self, name: &str) -> SiteIdentity {
        identity(&self.authority, name)
    }

    pub(crate) fn router(&self, identity: SiteIdentity) -> TestRouter {
        TestRouter::start(identity, &[&self.url], &Skew::default(), Memory::default())
    }
}

pub(crate) fn identity(authority: &Authority, name: &str) -> SiteIdentity {
    let key = PrivateKey::generate().unwrap();
    let request = Request::from_der(&Request::make(&key).unwrap()).unwrap();
    let now = WallClock::system().now();
    let issued = authority.issue_site(&site(name), Enrolment::FIRST, &request, now);
    SiteIdentity::new(key, issued.unwrap(), authority.certificate().clone()).unwrap()
}

/// Enrols with a key of its own.
pub(crate) async fn enrolled(token: &Token) -> Result<Enrolled, Vec<ConnectError>> {
    let key = PrivateKey::generate().unwrap();
    enrol(token, &key, &Facts::new(), &WallClock::system()).await
}

#[derive(Default)]
pub(crate) struct TestDevice {
    pub(crate) disk: Mutex<Memory>,
    pub(crate) kernel: Mutex<Option<Configuration>>,
    pub(crate) kept: Mutex<Vec<SiteCertificate>>,
    pub(crate) reports: Mutex<Vec<String>>,
}

impl Device for TestDevice {
    async fn store(&self, memory: Memory) -> Result<(), String> {
        *self.disk.lock().unwrap() = memory;
        Ok(())
    }

    async fn apply(&self, configuration: Option<Configuration>) -> Result<(), String> {
        *self.kernel.lock().unwrap() = configuration;
        Ok(())
    }

    fn keep(&self, identity: &SiteIdentity) -> Result<(), IdentityError> {
        let certificate = identity.certificate().clone();
        self.kept.lock().unwrap().push(certificate);
        Ok(())
    }

    fn report(&self, report: Report) {
        let text = match report {
            Report::Disconnected {
                reason,
                is_worth_a_retry,
                ..
            } => {
                format!("lost ({is_worth_a_retry}): {reason}")
            }
            other => format!("{other:?}"),
        };
        self.reports.lock().unwrap().push(text);
    }
}

/// A router that runs.
pub(crate) struct TestRouter {
    pub(crate) device: Arc<TestDevice>,
    pub(crate) facts: watch::Sender<Facts>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl TestRouter {
    pub(crate) fn start(
        identity: SiteIdentity,
        controllers: &[&ControllerUrl],
        skew: &Skew,
        memory: Memory,
    ) -> Self {
        let device = Arc::new(TestDevice::default());
        let (facts, told) = watch::channel(Facts::new());
        let router = Router {
            device: Arc::clone(&device),
            identity,
            controllers: controllers.iter().map(|&url| url.clone()).collect(),
            memory,
            facts: told,
            clock: skew.clock(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(router.run(async {
            let _ = stopped.await;
        }));
        Self {
            device,
            facts,
            stop: Some(stop),
            task,
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }

    /// Dies without a word.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) fn confirmed(&self) -> Option<u64> {
        let disk = self.device.disk.lock().unwrap();
        disk.confirmed.as_ref().map(|it| it.version.generation)
    }

    pub(crate) fn running(&self) -> Option<u64> {
        let kernel = self.device.kernel.lock().unwrap();
        kernel.as_ref().map(|it| it.version.generation)
    }

    pub(crate) fn reports(&self) -> String {
        self.device.reports.lock().unwrap().join("\n")
    }
}

/// How long something is waited for that never happens where all is well. A machine that is busy with
/// other things may stand still for seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
