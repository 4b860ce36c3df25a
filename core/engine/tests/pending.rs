//! What is said of a kernel that is not as it should be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod support;

use patronus_engine::Input;
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
