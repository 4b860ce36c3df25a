//! Who of the tests of one program may run beside whom.
//!
//! On two cores, a few networks which come up beside a test that counts lost packets, or measures
//! time, cost user-space WireGuard packets of its own. So such a test runs alone, and every other
//! network waits: it cannot forget to, as it has its turn by being brought up.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static TURNS: RwLock<()> = RwLock::new(());

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
    static SHARED: RefCell<Weak<RwLockReadGuard<'static, ()>>> = const { RefCell::new(Weak::new()) };
}

/// No other test of this program has a network while this is held.
pub struct Alone {
    _turn: RwLockWriteGuard<'static, ()>,
    // What it has marked is the thread.
    _thread: PhantomData<*const ()>,
}

/// Waits until no other test of this program has a network, and keeps them waiting from then on.
/// To be called before a network is brought up, by tests that count lost packets or measure time.
///
/// # Panics
/// When this test has a network already: it would wait for itself.
#[must_use]
pub fn alone() -> Alone {
    let shares = SHARED.with_borrow(|shared| shared.strong_count() > 0);
    assert!(
        !shares && !ALONE.get(),
        "alone() comes first in a test, and once"
    );
    // A test that failed while it was alone is no reason for the next to fail.
    let turn = TURNS.write().unwrap_or_else(PoisonError::into_inner);
    ALONE.set(true);
    Alone {
        _turn: turn,
        _thread: PhantomData,
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        ALONE.set(false);
    }
}

/// The turn of a network, which others may have at the same time.
pub(crate) struct Turn {
    _shared: Option<Rc<RwLockReadGuard<'static, ()>>>,
}

impl Turn {
    /// Waits while another test is alone. A test that is alone itself need not, and of several
    /// networks of one test only the first: a second lock of the same thread might wait for ever.
    pub(crate) fn take() -> Self {
        if ALONE.get() {
            return Self { _shared: None };
        }
        let shared = SHARED.with_borrow_mut(|shared| {
            shared.upgrade().unwrap_or_else(|| {
                let turn = TURNS.read().unwrap_or_else(PoisonError::into_inner);
                let turn = Rc::new(turn);
                *shared = Rc::downgrade(&turn);
                turn
            })
        });
        Self {
            _shared: Some(shared),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn who_is_alone_keeps_every_network_of_others_waiting_and_none_of_its_own() {
        let held = alone();
        drop((Turn::take(), Turn::take()));
        let (said, heard) = channel();
        let other = std::thread::spawn(move || {
            let _turn = Turn::take();
            said.send(())
        });
        let early = heard.recv_timeout(Duration::from_millis(100));
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        drop(held);
        assert_eq!(heard.recv_timeout(SOON), Ok(()));
        assert!(other.join().is_ok_and(|sent| sent.is_ok()));

        // Networks do not wait for each other, and whoever wants to be alone waits for the last.
        let turns = [Turn::take(), Turn::take()];
        assert!(std::thread::spawn(|| drop(Turn::take())).join().is_ok());
        let (said, heard) = channel();
        let other = std::thread::spawn(move || {
            let _alone = alone();
            said.send(())
        });
        let [first, second] = turns;
        drop(first);
        let early = heard.recv_timeout(Duration::from_millis(100));
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        drop(second);
        assert_eq!(heard.recv_timeout(SOON), Ok(()));
        assert!(other.join().is_ok_and(|sent| sent.is_ok()));
    }
}
