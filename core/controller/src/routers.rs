//! The routers of a network: who they are, what they are told, and how far they are.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use patronus_access::audit::{Actor, Event, Outcome};
use patronus_control::serve::{Desk, NotEnrolled};
use patronus_control::session::{Configuration, Facts, Snapshot, Status, Target, Version};
use patronus_control::wire::{EnrolAnswer, EnrolAsk};
use patronus_control::{Monotonic, WallClock};
use patronus_identity::{
    Authority, ControllerUrl, Enrolment, Request, Revocations, SiteCertificate, Token, TokenId,
    TokenRecord,
};
use patronus_model::ids::SiteId;
use patronus_model::intent::{Kind, ObjectId};
use patronus_store::{Confirmation, EnrolmentToken, Millis, Redemption, Standing, Store};
use tokio::sync::watch;

use crate::controller::Controller;
use crate::error::Refused;
use crate::snapshots::Snapshots;

/// Who has to be approved by a person asks again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// A router that was away for this many changes is sent pieces that it has.
const KNOWN: usize = 4;

/// How far a router is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is connected here.
    Connected(Status),
    /// It was, and why it is not.
    Gone(String),
}

/// For whom a token is made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The site whose router it enrols.
    pub site: SiteId,
    /// Where the router finds the controllers.
    pub controllers: Vec<ControllerUrl>,
    /// How long it is good.
    pub life: Duration,
    /// Whether a person has to approve the router that shows it.
    pub approval: bool,
}

/// What a controller does for routers.
#[derive(Debug)]
pub struct Routers {
    controller: Arc<Controller>,
    authority: Authority,
    clock: WallClock,
    monotonic: Monotonic,
    /// Held while routers are told of a state, so that an older one never follows a newer one.
    publishing: tokio::sync::Mutex<()>,
    /// Those of the last few states, the newest first.
    snapshots: Mutex<VecDeque<Arc<Snapshots>>>,
    targets: Mutex<BTreeMap<SiteId, watch::Sender<Option<Target>>>>,
    progress: watch::Sender<BTreeMap<SiteId, Progress>>,
    revocations: watch::Sender<Arc<Revocations>>,
}

impl Routers {
    /// Reads who they are from the controller's store. They are told what is committed from
    /// [`Routers::follow`] on.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be.
    pub async fn open(
        controller: Arc<Controller>,
        authority: Authority,
        clock: WallClock,
        monotonic: Monotonic,
    ) -> Result<Self, Refused> {
        let revocations = controller.store().revocations(clock.now()).await?;
        Ok(Self {
            controller,
            authority,
            clock,
            monotonic,
            publishing: tokio::sync::Mutex::default(),
            snapshots: Mutex::default(),
            targets: Mutex::default(),
            progress: watch::Sender::default(),
            revocations: watch::Sender::new(Arc::new(revocations)),
        })
    }

    /// Tells routers of every state that the controller comes to, until the controller is gone.
    ///
    /// # Errors
    /// The store does not answer. Routers keep what they were told.
    pub async fn follow(&self) -> Result<(), Refused> {
        let mut states = self.controller.watch();
        loop {
            states.mark_unchanged();
            self.publish().await?;
            if states.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Tells routers what follows from the state.
    async fn publish(&self) -> Result<(), Refused> {
        let _publishing = self.publishing.lock().await;
        let state = self.controller.state();
        let epoch = self.controller.store().epoch().await?;
        let (Some(plan), Some(generation)) = (&state.plan, &state.generation) else {
            return Ok(());
        };
        let before = locked(&self.snapshots).front().cloned();
        let plan = plan.clone();
        // Of a thousand sites it takes a while when everything changes.
        let made = tokio::task::spawn_blocking(move || Snapshots::new(plan, before.as_deref()));
        let Ok(made) = made.await.map(Arc::new) else {
            return Ok(());
        };
        let version = Version {
            epoch,
            generation: u64::try_from(generation.number).unwrap_or_default(),
        };
        let held_until = match generation.confirmation {
            Confirmation::Until(by) => Some(self.monotonic.now() + self.until(by)),
            Confirmation::NotNeeded | Confirmation::Confirmed(_) => None,
        };
        {
            let mut snapshots = locked(&self.snapshots);
            snapshots.push_front(Arc::clone(&made));
            snapshots.truncate(KNOWN);
        }
        let mut targets = locked(&self.targets);
        for site in made.sites() {
            targets
                .entry(site.clone())
                .or_insert_with(|| watch::Sender::new(None));
        }
        for (site, sender) in targets.iter() {
            let target = match made.get(site) {
                Some(Ok(snapshot)) => Some(Target {
                    configuration: Configuration {
                        version,
                        snapshot: snapshot.clone(),
                    },
                    held_until,
                }),
                // What it runs is better than nothing.
                Some(Err(error)) => {
                    tracing::error!(%site, %error, "a router cannot be told its configuration");
                    continue;
                }
                None => None,
            };
            sender.send_if_modified(|current| {
                let changes = *current != target;
                *current = target;
                changes
            });
        }
        Ok(())
    }

    /// How long it is until then.
    fn until(&self, by: Millis) -> Duration {
        let seconds = i64::try_from(self.clock.now().as_seconds()).unwrap_or(i64::MAX);
        let left = by.saturating_sub(seconds.saturating_mul(1000));
        Duration::from_millis(u64::try_from(left).unwrap_or_default())
    }

    /// How far each of them is that has been connected here.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<BTreeMap<SiteId, Progress>> {
        self.progress.subscribe()
    }

    /// Who is not let in any more.
    #[must_use]
    pub fn revocations(&self) -> watch::Receiver<Arc<Revocations>> {
        self.revocations.subscribe()
    }

    /// Takes in whom other controllers have revoked.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be.
    pub async fn refresh(&self) -> Result<(), Refused> {
        let now = self.store().revocations(self.clock.now()).await?;
        self.revocations.send_if_modified(|current| {
            let changes = **current != now;
            *current = Arc::new(now);
            changes
        });
        Ok(())
    }

    /// Makes a token, whose secret is kept nowhere: who loses it makes another one.
    ///
    /// # Errors
    /// [`Refused::NoObject`] if there is no such site, [`Refused::Identity`] if the token cannot be
    /// made.
    pub async fn make_token(&self, new: NewToken, by: &Event) -> Result<Token, Refused> {
        let state = self.controller.state();
        let plan = state.plan.as_ref().ok_or(Refused::NoNetwork)?;
        if !plan.inputs().intent.sites.contains_key(&new.site) {
            let id = ObjectId::new(Kind::Site, new.site.as_str());
            return Err(Refused::NoObject(id));
        }
        let now = self.clock.now();
        let fingerprint = self.authority.fingerprint();
        let token = Token::generate(fingerprint, new.controllers, now + new.life)?;
        let kept = EnrolmentToken {
            record: TokenRecord::of(&token, new.site),
            made_by: by.actor.parts().1.to_owned(),
            made_at: now,
            approval: new.approval,
        };
        self.store().add_enrolment_token(&kept, by).await?;
        Ok(token)
    }

    /// Withdraws a token; says whether it could still have been used.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn withdraw_token(&self, id: TokenId, by: &Event) -> Result<bool, Refused> {
        Ok(self.store().withdraw_enrolment_token(id, by).await?)
    }

    /// Approves a router that waits for it; says whether it did. An earlier one of the site is cut off.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn approve(
        &self,
        site: &SiteId,
        enrolment: Enrolment,
        by: &Event,
    ) -> Result<bool, Refused> {
        let done = self.store().approve_router(site, enrolment, by).await?;
        self.refresh().await?;
        Ok(done)
    }

    /// Cuts a router off, or refuses one that waits; says whether there was one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn revoke(
        &self,
        site: &SiteId,
        enrolment: Enrolment,
        by: &Event,
    ) -> Result<bool, Refused> {
        let done = self.store().end_router(site, enrolment, by).await?;
        self.refresh().await?;
        Ok(done)
    }

    /// Goes on from what there is although routers have seen more: what is committed here is later than
    /// all of it from now on. Says which epoch that is.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn go_on(&self, by: &Event) -> Result<u64, Refused> {
        let seen = self.progress.borrow().values().map(seen).max();
        let epoch = self
            .store()
            .begin_epoch(seen.unwrap_or_default(), by)
            .await?;
        self.publish().await?;
        Ok(epoch)
    }

    /// Issues a certificate and notes that.
    async fn issue(
        &self,
        site: &SiteId,
        enrolment: Enrolment,
        request: &Request,
        address: Option<IpAddr>,
    ) -> Result<SiteCertificate, Refused> {
        let now = self.clock.now();
        let certificate = self.authority.issue_site(site, enrolment, request, now)?;
        let event = Event {
            at: self.millis(),
            actor: Actor::Router(site.to_string()),
            address,
            action: "certificate.issue".to_owned(),
            object: format!("site/{site}"),
            outcome: Outcome::Done,
            detail: format!(
                "{} for router {enrolment}, until {}",
                certificate.serial, certificate.not_after
            ),
        };
        self.store().note_certificate(&certificate, &event).await?;
        Ok(certificate)
    }

    async fn take_in(&self, site: &SiteId, facts: &Facts) {
        if let Err(error) = self.controller.tell(site, facts, self.millis()).await {
            tracing::warn!(%site, %error, "what a router says of its uplinks is not taken in");
        }
    }

    fn millis(&self) -> Millis {
        let seconds = Millis::try_from(self.clock.now().as_seconds()).unwrap_or(Millis::MAX);
        seconds.saturating_mul(1000)
    }

    fn store(&self) -> &Store {
        self.controller.store()
    }
}

/// The latest epoch that a router is known to have seen, if that is later than what there is here.
fn seen(progress: &Progress) -> u64 {
    match progress {
        Progress::Connected(Status::Behind(version)) => version.epoch,
        Progress::Connected(_) | Progress::Gone(_) => 0,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is guarded is left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk for Routers {
    async fn enrol(&self, ask: EnrolAsk, from: IpAddr) -> Result<EnrolAnswer, NotEnrolled> {
        let request = Request::from_der(&ask.request)
            .map_err(|error| NotEnrolled::Request(error.to_string()))?;
        let redemption = Redemption {
            token: ask.token,
            secret: &ask.secret,
            key: request.key(),
            address: from,
            at: self.clock.now(),
        };
        let router = self.store().redeem(&redemption).await;
        let router = router.map_err(|error| later(&error.into()))??;
        let site = &router.site;
        match router.standing {
            Standing::Waiting => return Ok(EnrolAnswer::Waiting(ASK_AGAIN)),
            Standing::Ended { at } => {
                let text = format!("the router was refused or revoked at {at}: make a new token");
                return Err(NotEnrolled::Request(text));
            }
            Standing::Approved { .. } => {}
        }
        let certificate = self.issue(site, router.enrolment, &request, Some(from));
        let certificate = certificate.await.map_err(|error| later(&error))?;
        // The router that was there before is cut off.
        self.refresh().await.map_err(|error| later(&error))?;
        self.take_in(site, &ask.facts).await;
        Ok(EnrolAnswer::Enrolled {
            certificate: certificate.der().to_vec(),
            authority: self.authority.certificate().to_vec(),
        })
    }

    fn targets(&self, site: &SiteId) -> watch::Receiver<Option<Target>> {
        let mut targets = locked(&self.targets);
        let sender = targets.entry(site.clone());
        sender
            .or_insert_with(|| watch::Sender::new(None))
            .subscribe()
    }

    fn known(&self, site: &SiteId) -> Vec<Snapshot> {
        let snapshots = locked(&self.snapshots);
        let of_site = snapshots.iter().filter_map(|it| it.get(site)?.ok());
        let mut known: Vec<Snapshot> = of_site.cloned().collect();
        known.dedup();
        known
    }

    async fn told(&self, site: &SiteId, facts: Facts) {
        self.take_in(site, &facts).await;
    }

    async fn renew(
        &self,
        certificate: &SiteCertificate,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let request = Request::from_der(&request).map_err(|error| error.to_string())?;
        let (site, enrolment) = (&certificate.site, certificate.enrolment);
        let issued = self.issue(site, enrolment, &request, None).await;
        let issued = issued.map_err(|error| later(&error).to_string())?;
        Ok(issued.der().to_vec())
    }

    fn stands(&self, site: &SiteId, status: Result<&Status, &str>) {
        let progress = match status {
            Ok(status) => Progress::Connected(status.clone()),
            Err(reason) => Progress::Gone(reason.to_owned()),
        };
        self.progress.send_modify(|all| {
            all.insert(site.clone(), progress);
        });
    }
}

/// Routers are not told what is wrong with the store.
fn later(error: &Refused) -> NotEnrolled {
    tracing::error!(%error, "no certificate can be issued");
    NotEnrolled::Later("see its log".to_owned())
}
