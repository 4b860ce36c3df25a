//! What can be done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use patronus_config::{Diagnostic, Manifest, read_objects};
use patronus_model::ids::{SiteId, UplinkName};
use patronus_model::intent::{Intent, Kind, Object, ObjectId, UplinkFacts};
use patronus_store::{Confirmation, Draft, Edit, Generation, Millis, Store, StoreError};
use tokio::sync::{Mutex, watch};

use crate::error::Refused;
use crate::proposal::{ObjectChange, Proposal};
use crate::state::{Planned, State, is_refused, planned};

/// How often a change is checked again because somebody else committed meanwhile.
const ATTEMPTS: usize = 8;

/// What is said of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Who makes it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// It is taken back unless it is confirmed within this time.
    pub confirm_within: Option<Duration>,
}

/// A controller's view of its store, and what can be done with it.
#[derive(Debug)]
pub struct Controller {
    store: Store,
    state: watch::Sender<Arc<State>>,
    /// Held while the state is replaced, so that an older one never follows a newer one.
    loading: Mutex<()>,
}

impl Controller {
    /// Reads everything from a store whose schema is up to date.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be.
    pub async fn open(store: Store) -> Result<Self, Refused> {
        store.ready().await?;
        let state = State::load(&store, None).await?;
        Ok(Self {
            store,
            state: watch::Sender::new(Arc::new(state)),
            loading: Mutex::new(()),
        })
    }

    /// What is committed.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Tells of every new state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.state.subscribe()
    }

    /// Takes in what other controllers have done.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be; the state stays what it was.
    pub async fn refresh(&self) -> Result<Arc<State>, Refused> {
        let _loading = self.loading.lock().await;
        let before = self.state();
        let state = Arc::new(State::load(&self.store, Some(&before)).await?);
        self.state.send_replace(Arc::clone(&state));
        Ok(state)
    }

    /// Puts objects into somebody's candidate, and says which. What is already as the text says is
    /// no edit.
    ///
    /// # Errors
    /// [`Refused::Text`].
    pub async fn stage(
        &self,
        candidate: &str,
        text: &str,
        file: &str,
        at: Millis,
    ) -> Result<(Vec<ObjectId>, Vec<Diagnostic>), Refused> {
        let (manifests, warnings) = read_objects(text, file).map_err(Refused::Text)?;
        let state = self.state();
        let mut staged = Vec::new();
        for Manifest { object, text, .. } in manifests {
            let id = object.id();
            let current = state.objects.get(&id);
            if current.is_some_and(|current| current.text == text) {
                self.store.discard(candidate, Some(&id)).await?;
                continue;
            }
            let edit = Edit {
                id: id.clone(),
                base: current.map(|current| current.since),
                text: Some(text),
            };
            self.store.put_edit(candidate, &edit, at).await?;
            staged.push(id);
        }
        Ok((staged, warnings))
    }

    /// Puts the removal of an object into somebody's candidate. One that is only there is taken out.
    ///
    /// # Errors
    /// [`Refused::NoObject`] and [`Refused::NetworkStays`].
    pub async fn stage_removal(
        &self,
        candidate: &str,
        id: &ObjectId,
        at: Millis,
    ) -> Result<(), Refused> {
        if id.kind == Kind::Network {
            return Err(Refused::NetworkStays);
        }
        let Some(current) = self.state().objects.get(id).map(|current| current.since) else {
            return match self.store.discard(candidate, Some(id)).await? {
                0 => Err(Refused::NoObject(id.clone())),
                _ => Ok(()),
            };
        };
        let edit = Edit {
            id: id.clone(),
            base: Some(current),
            text: None,
        };
        Ok(self.store.put_edit(candidate, &edit, at).await?)
    }

    /// Works out what somebody's candidate would come to.
    ///
    /// # Errors
    /// [`Refused::Problems`] and [`Refused::NoNetwork`].
    pub async fn propose(&self, candidate: &str) -> Result<Proposal, Refused> {
        let edits = self.store.edits(candidate).await?;
        self.proposal(edits)
    }

    fn proposal(&self, mut edits: Vec<Edit>) -> Result<Proposal, Refused> {
        // The network is the first of kinds, so that the rest finds one.
        edits.sort_by(|one, other| one.id.cmp(&other.id));
        let state = self.state();
        let before = state.plan.as_ref();
        let mut intent = before.map(|plan| plan.inputs().intent.clone());
        let mut objects = Vec::new();
        for edit in &edits {
            let current = state.objects.get(&edit.id);
            objects.push(ObjectChange {
                id: edit.id.clone(),
                before: current.map(|current| current.text.clone()),
                after: edit.text.clone(),
            });
            change(&mut intent, edit)?;
        }
        let intent = intent.ok_or(Refused::NoNetwork)?;
        let Planned { plan, problems, .. } = planned(intent, &state.facts, &state.numbers, before);
        if is_refused(&problems) {
            return Err(Refused::Problems(problems));
        }
        let routers = plan.changes(before);
        Ok(Proposal {
            against: state.number(),
            objects,
            routers,
            warnings: problems,
            numbers: Arc::clone(&plan.inputs().allocations),
            edits,
        })
    }

    /// Commits somebody's candidate, which is empty then.
    ///
    /// If somebody else commits meanwhile, it is checked again, and refused only if both changed the
    /// same object, or if it is not good any more.
    ///
    /// # Errors
    /// [`Refused::NothingChanged`], those of [`Controller::propose`], [`StoreError::Conflicts`] and
    /// [`StoreError::Unconfirmed`].
    pub async fn commit(
        &self,
        candidate: &str,
        commit: &Commit,
        at: Millis,
    ) -> Result<Generation, Refused> {
        let edits = self.store.edits(candidate).await?;
        let generation = self.commit_edits(edits, commit, None, at).await?;
        self.store.discard(candidate, None).await?;
        Ok(generation)
    }

    /// Makes the intent what it was in another generation.
    ///
    /// # Errors
    /// Like [`Controller::commit`].
    pub async fn roll_back(
        &self,
        to: i64,
        commit: &Commit,
        at: Millis,
    ) -> Result<Generation, Refused> {
        self.refresh().await?;
        let edits = self.store.way_back(to).await?;
        self.commit_edits(edits, commit, Some(to), at).await
    }

    /// Confirms a generation; says whether it waited for that.
    ///
    /// # Errors
    /// [`StoreError::NoGeneration`].
    pub async fn confirm(&self, generation: i64, at: Millis) -> Result<bool, Refused> {
        let confirmed = self.store.confirm(generation, at).await?;
        self.refresh().await?;
        Ok(confirmed)
    }

    /// Takes back a generation that was to be confirmed by now and was not. Says which there is then.
    ///
    /// # Errors
    /// Like [`Controller::roll_back`].
    pub async fn expire(&self, at: Millis) -> Result<Option<Generation>, Refused> {
        let Some(head) = self.store.head().await? else {
            return Ok(None);
        };
        let Confirmation::Until(by) = head.confirmation else {
            return Ok(None);
        };
        if by > at {
            return Ok(None);
        }
        let commit = Commit {
            author: "patronus".to_owned(),
            comment: format!("generation {} was not confirmed in time", head.number),
            confirm_within: None,
        };
        self.roll_back(head.number - 1, &commit, at).await.map(Some)
    }

    /// Takes in what a router says of its uplinks.
    ///
    /// # Errors
    /// [`Refused::KeyTaken`].
    pub async fn tell(
        &self,
        site: &SiteId,
        uplinks: &BTreeMap<UplinkName, UplinkFacts>,
        at: Millis,
    ) -> Result<(), Refused> {
        let state = self.state();
        let known = state.facts.uplinks.iter().filter(|((of, _), _)| of == site);
        if known
            .map(|((_, uplink), facts)| (uplink, facts))
            .eq(uplinks)
        {
            return Ok(());
        }
        for (uplink, facts) in uplinks {
            let mut others = state.facts.uplinks.iter();
            let same = |(of, _): &(SiteId, UplinkName)| of == site;
            let taken = others
                .find(|(id, other)| !same(id) && other.public_key == facts.public_key)
                .map(|(id, _)| id.clone());
            if let Some((other_site, other_uplink)) = taken {
                return Err(Refused::KeyTaken {
                    uplink: uplink.clone(),
                    other_site,
                    other_uplink,
                });
            }
        }
        self.store.tell(site, uplinks, at).await?;
        self.refresh().await?;
        Ok(())
    }

    /// The store, for what is only read or written.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    async fn commit_edits(
        &self,
        edits: Vec<Edit>,
        commit: &Commit,
        reverts_to: Option<i64>,
        at: Millis,
    ) -> Result<Generation, Refused> {
        if edits.is_empty() {
            return Err(Refused::NothingChanged);
        }
        let within = commit.confirm_within;
        let within = within.map(|it| Millis::try_from(it.as_millis()).unwrap_or(Millis::MAX));
        for _ in 0..ATTEMPTS {
            let proposal = self.proposal(edits.clone())?;
            if proposal.against == 0 && within.is_some() {
                return Err(Refused::NothingToGoBackTo);
            }
            let draft = Draft {
                author: commit.author.clone(),
                comment: commit.comment.clone(),
                at,
                reverts_to,
                confirm_by: within.map(|within| at.saturating_add(within)),
                checked_against: proposal.against,
            };
            let committed = self
                .store
                .commit(&draft, &proposal.edits, &proposal.numbers)
                .await;
            match committed {
                Ok(number) => {
                    self.refresh().await?;
                    return Ok(self.store.generation(number).await?);
                }
                Err(StoreError::Moved { .. }) => self.refresh().await?,
                Err(other) => return Err(other.into()),
            };
        }
        let now = self.state().number();
        Err(StoreError::Moved { now }.into())
    }
}

/// Makes one edit.
fn change(intent: &mut Option<Intent>, edit: &Edit) -> Result<(), Refused> {
    let Some(text) = &edit.text else {
        if let Some(intent) = intent {
            intent.remove(&edit.id);
        }
        return Ok(());
    };
    let name = edit.id.to_string();
    let (manifests, _) = read_objects(text, &name).map_err(Refused::Text)?;
    for Manifest { object, .. } in manifests {
        match (&mut *intent, object) {
            (Some(intent), object) => intent.put(object),
            (None, Object::Network(network)) => {
                *intent = Some(Intent {
                    network,
                    sites: BTreeMap::new(),
                    classes: BTreeMap::new(),
                    policies: BTreeMap::new(),
                });
            }
            (None, Object::Site(_) | Object::Class(_) | Object::Policy(_)) => {
                return Err(Refused::NoNetwork);
            }
        }
    }
    Ok(())
}
