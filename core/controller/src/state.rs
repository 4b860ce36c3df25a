//! What is committed, and what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use patronus_config::{default_classes, read_objects};
use patronus_model::intent::{Allocations, Facts, Intent, Object, ObjectId};
use patronus_planner::{Inputs, Plan, Problem, Severity, allocate, check, reach};
use patronus_store::{Generation, Store, Stored};

use crate::error::Refused;

/// What is committed, and what follows from it. It never changes; a commit makes a new one.
#[derive(Clone, Debug)]
pub struct State {
    /// The generation; `None` before the first.
    pub generation: Option<Generation>,
    /// Its objects.
    pub objects: BTreeMap<ObjectId, Stored>,
    /// What routers have said.
    pub facts: Arc<Facts>,
    /// What each router is told; `None` where there is no network yet.
    pub plan: Option<Plan>,
    /// What is odd about it.
    pub warnings: Vec<Problem>,
    /// Those of them that follow from what routers have said.
    of_reach: Vec<Problem>,
    /// The numbers that were given.
    pub(crate) numbers: Arc<Allocations>,
}

/// What an intent comes to.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) problems: Vec<Problem>,
    /// Those of them that follow from what routers have said.
    of_reach: Vec<Problem>,
}

impl State {
    /// Reads everything.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be.
    pub(crate) async fn load(store: &Store, before: Option<&Self>) -> Result<Self, Refused> {
        let generation = store.head().await?;
        let numbers = Arc::new(store.allocations().await?);
        let same = |it: &&Self| it.generation == generation && it.numbers == numbers;
        if let Some(before) = before.filter(same) {
            return Ok(before.told(Arc::new(store.facts().await?)));
        }
        let number = generation.as_ref().map_or(0, |it| it.number);
        let mut objects = BTreeMap::new();
        for stored in store.objects(number).await? {
            objects.insert(stored.id.clone(), stored);
        }
        let facts = Arc::new(store.facts().await?);
        let mut state = Self {
            generation,
            objects,
            facts,
            plan: None,
            warnings: Vec::new(),
            of_reach: Vec::new(),
            numbers,
        };
        if let Some(intent) = state.intent(before)? {
            let plan = before.and_then(|it| it.plan.as_ref());
            let planned = planned(intent, &state.facts, &state.numbers, plan);
            state.plan = Some(planned.plan);
            state.warnings = planned.problems;
            state.of_reach = planned.of_reach;
        }
        Ok(state)
    }

    /// The same generation with other facts. What concerns the intent alone is not looked at again.
    fn told(&self, facts: Arc<Facts>) -> Self {
        let mut told = Self {
            facts,
            ..self.clone()
        };
        let Some(plan) = self.plan.as_ref().filter(|_| told.facts != self.facts) else {
            return told;
        };
        let before = plan.inputs();
        let (reaches, of_reach) = reach(&before.intent, &told.facts, &self.numbers);
        let inputs = Inputs {
            reaches: Arc::new(reaches),
            ..before.clone()
        };
        told.plan = Some(plan.next(inputs));
        told.warnings.retain(|it| !self.of_reach.contains(it));
        told.warnings.extend(of_reach.iter().cloned());
        told.warnings.sort();
        told.of_reach = of_reach;
        told
    }

    /// The number of the generation; 0 before the first.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.generation.as_ref().map_or(0, |it| it.number)
    }

    /// The intent, if there is a network. What is the same in an earlier state is the same object.
    fn intent(&self, before: Option<&Self>) -> Result<Option<Intent>, Refused> {
        let mut objects = Vec::new();
        for stored in self.objects.values() {
            objects.push(known(stored, before).map_or_else(|| read(stored), Ok)?);
        }
        Ok(assembled(objects))
    }

    /// The objects as a text that can be read again, in the order in which people read them.
    #[must_use]
    pub fn export(&self) -> String {
        let texts: Vec<&str> = self.objects.values().map(|it| it.text.as_str()).collect();
        texts.join("---\n")
    }
}

/// An object that an earlier state has in the same text.
fn known(stored: &Stored, before: Option<&State>) -> Option<Object> {
    let before = before?;
    let same = before.objects.get(&stored.id)?.text == stored.text;
    let intent = &before.plan.as_ref()?.inputs().intent;
    intent.object(&stored.id).filter(|_| same)
}

fn read(stored: &Stored) -> Result<Object, Refused> {
    let broken = |reason: String| Refused::Broken {
        object: stored.id.clone(),
        reason,
    };
    let name = stored.id.to_string();
    let (manifests, _) = read_objects(&stored.text, &name)
        .map_err(|found| broken(Refused::Text(found).to_string()))?;
    let object = manifests.into_iter().next().map(|it| it.object);
    let is_it = |object: &Object| object.id() == stored.id;
    object
        .filter(is_it)
        .ok_or_else(|| broken("it is something else".to_owned()))
}

/// An intent of objects, if there is a network among them.
fn assembled(objects: Vec<Object>) -> Option<Intent> {
    let network = objects.iter().find_map(|object| match object {
        Object::Network(network) => Some(Arc::clone(network)),
        Object::Site(_) | Object::Class(_) | Object::Policy(_) => None,
    })?;
    let mut intent = Intent {
        network,
        sites: BTreeMap::new(),
        classes: BTreeMap::new(),
        policies: BTreeMap::new(),
    };
    objects.into_iter().for_each(|object| intent.put(object));
    Some(intent)
}

/// Plans an intent, and says everything that is wrong or odd about it.
pub(crate) fn planned(
    intent: Intent,
    facts: &Facts,
    numbers: &Allocations,
    before: Option<&Plan>,
) -> Planned {
    let classes = match before {
        Some(before) => Arc::clone(&before.inputs().default_classes),
        None => default_classes().into(),
    };
    let names: Vec<_> = classes.iter().map(|class| class.name.clone()).collect();
    let mut problems = check(&intent, &names);
    let (allocations, more) = allocate(&intent, numbers);
    problems.extend(more);
    let (reaches, of_reach) = reach(&intent, facts, &allocations);
    problems.extend(of_reach.iter().cloned());
    problems.sort();
    let inputs = Inputs {
        intent,
        reaches: Arc::new(reaches),
        allocations: Arc::new(allocations),
        default_classes: classes,
    };
    let plan = match before {
        Some(before) => before.next(inputs),
        None => Plan::new(inputs),
    };
    Planned {
        plan,
        problems,
        of_reach,
    }
}

/// Whether something is wrong that keeps an intent from being carried out.
pub(crate) fn is_refused(problems: &[Problem]) -> bool {
    problems.iter().any(|it| it.severity == Severity::Error)
}
