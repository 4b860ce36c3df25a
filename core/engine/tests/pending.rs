//! What is said of a kernel that is not as it should be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use patronus_engine::{Effect, Input};
use patronus_model::kernel::ApplyOutcome;
use patronus_model::view::{Kind, Pending, RouterView};
use support::*;

fn view(router: &Router) -> RouterView {
    router.engine.view(router.now, router.now).unwrap()
}

#[test]
fn what_the_kernel_refuses_is_known_by_kind_and_number_until_it_is_there() {
    let mut router = two_uplinks();
    assert!(view(&router).settled);
    assert_eq!(view(&router).pending, Pending::default());
    let lost = router.kernel.rules.len();
    router.kernel.rules.clear();
    router.kernel.firewall = None;
    // The rules; that comes after the firewall.
    router.failing = usize::MAX;
    router.input(Input::Touched);
    router.seconds(60);
    let view = |router: &Router| view(router);
    let expected = Pending {
        kinds: [(Kind::Rule, lost), (Kind::Firewall, 1)].into(),
        failed: lost + 1,
        reason: Some(format!("no; no; no; {} more", lost - 2)),
    };
    assert!(!view(&router).settled);
    assert_eq!(view(&router).pending, expected);
    router.failing = 0;
    router.seconds(60);
    assert!(view(&router).settled);
    assert_eq!(view(&router).pending, Pending::default());
}

#[test]
fn what_was_put_although_other_steps_failed_is_not_said_to_be_missing() {
    let mut router = two_uplinks();
    router.kernel.rules.clear();
    let lost = two_uplinks().kernel.rules.len();
    router.failing = 2;
    router.input(Input::Touched);
    // Which of them failed shows when it is tried again.
    let partly = Pending {
        kinds: BTreeMap::new(),
        failed: 2,
        reason: Some("no; no".to_owned()),
    };
    assert!(lost > 2);
    assert_eq!(view(&router).pending, partly);
    router.failing = usize::MAX;
    router.seconds(1);
    let rest = Pending {
        kinds: [(Kind::Rule, 2)].into(),
        ..partly
    };
    assert_eq!(view(&router).pending, rest);
    router.failing = 0;
    router.seconds(60);
    assert_eq!(view(&router).pending, Pending::default());
}

#[test]
fn what_failed_and_then_succeeded_is_said_no_more() {
    let mut router = two_uplinks();
    router.failing = 1;
    router.kernel.firewall = None;
    router.input(Input::Touched);
    assert_eq!(view(&router).pending.failed, 1);
    // The next attempt, up to the look at the kernel that comes after it.
    router.now = router.now + Duration::from_secs(10);
    router.engine.handle(router.now, Input::Tick);
    let mut applied = 0;
    while let Some(effect) = router.engine.poll_effect() {
        match effect {
            Effect::Observe if applied > 0 => break,
            Effect::Observe => {
                let state = Box::new(router.kernel.clone());
                router.engine.handle(router.now, Input::Observed(state));
            }
            Effect::Apply(plan) => {
                applied = plan.0.len();
                let outcome = ApplyOutcome {
                    done: applied,
                    failed: Vec::new(),
                    took: Duration::ZERO,
                };
                router.engine.handle(router.now, Input::Applied(outcome));
            }
            Effect::Move(_) | Effect::Watch(_) | Effect::Bgp(_) | Effect::Report(_) => {}
        }
    }
    assert_eq!(applied, 1);
    assert!(!view(&router).settled, "it is being looked at");
    assert_eq!(view(&router).pending, Pending::default());
}
