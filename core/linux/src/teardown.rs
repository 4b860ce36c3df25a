//! Removing everything that is ours, with or without a daemon.

use patronus_model::kernel::Family;
use patronus_model::layout::KernelLayout;

use crate::error::{Doing, Error};
use crate::kernel::{Kernel, Places, names, owns_table};
use crate::netlink::codec::Message;
use crate::netlink::{nexthop, route, rule};
use crate::overlay;

/// Removes what carries our mark, and nothing else: rules first, so that nothing is led into a
/// table that is being emptied; the firewall, which guards, almost last; and gives kernel
/// parameters their values back. Goes on after errors and returns them all.
#[must_use]
pub fn teardown(layout: &KernelLayout, places: Places) -> Vec<Error> {
    let mut kernel = match Kernel::open(layout.clone(), places) {
        Ok(kernel) => kernel,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    kernel.remove_rules(&mut errors);
    kernel.remove_routes(&mut errors);
    kernel.remove_nexthops(&mut errors);
    kernel.remove_interfaces(&mut errors);
    note(&mut errors, kernel.nftables.delete());
    for path in kernel.sysctls.paths() {
        note(&mut errors, kernel.sysctls.restore(&path));
    }
    errors
}

fn note<T: Default>(errors: &mut Vec<Error>, result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| {
        errors.push(error);
        T::default()
    })
}

impl Kernel {
    fn remove_rules(&mut self, errors: &mut Vec<Error>) {
        for family in Family::ALL {
            let rules = note(errors, self.observe_rules(family));
            let protocol = self.layout.protocol;
            let messages = rules.iter().map(|old| rule::delete(protocol, old));
            self.send(messages.collect(), "deleting a rule", errors);
        }
    }

    fn remove_routes(&mut self, errors: &mut Vec<Error>) {
        let layout = self.layout.clone();
        for family in Family::ALL {
            let request = route::list(family, Some(layout.protocol), None);
            let found = self.netlink.dump(&request, "our routes", |_, payload| {
                let found = route::Route::read(payload)?;
                let ours = found.protocol == layout.protocol;
                (ours && owns_table(&layout, found.key.table)).then_some(found.key)
            });
            let keys = note(errors, found);
            let messages = keys.iter().map(|key| route::delete(layout.protocol, key));
            self.send(messages.collect(), "deleting a route", errors);
        }
    }

    fn remove_nexthops(&mut self, errors: &mut Vec<Error>) {
        let links = note(errors, self.links());
        let found = note(errors, self.observe_nexthops(&names(&links)));
        let messages = found.keys().map(|id| nexthop::delete(id.0));
        self.send(messages.collect(), "deleting a nexthop object", errors);
    }

    fn remove_interfaces(&mut self, errors: &mut Vec<Error>) {
        let overlay = self.layout.overlay_interface();
        for link in note(errors, self.links()) {
            let Ok(name) = link.name.parse() else {
                continue;
            };
            if !self.layout.owns_interface(&link.name) {
                continue;
            }
            let result = if name == overlay {
                overlay::delete(&mut self.netlink, &name)
            } else if self.wireguard.owns(&link) {
                self.wireguard.delete(&mut self.netlink, &name)
            } else {
                Ok(())
            };
            note(errors, result);
        }
    }

    fn send(&mut self, messages: Vec<Message>, what: &str, errors: &mut Vec<Error>) {
        for (_, refusal) in note(errors, self.netlink.batch(&messages)) {
            // Gone already, perhaps with what it depended on.
            if !matches!(refusal.errno, libc::ESRCH | libc::ENOENT) {
                note::<()>(errors, Err(refusal).doing(|| what.to_owned()));
            }
        }
    }
}
