//! What this machine can do, what it cannot, and what stands in our way. Probing changes nothing:
//! whatever has to be tried is tried in a network namespace that vanishes with its thread.

mod conflicts;
mod probes;

use std::path::Path;

use patronus_model::layout::KernelLayout;

/// Something that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What.
    pub name: &'static str,
    /// Whether all is well with it.
    pub found: bool,
    /// Which version, where, or what exactly is wrong.
    pub detail: String,
    /// Whether the router does not work without it.
    pub required: bool,
    /// What it is for.
    pub needed_for: &'static str,
    /// What happens without it.
    pub cost_when_missing: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Looks for everything that the router may use, and for whatever may be in its way.
#[must_use]
pub fn capabilities(layout: &KernelLayout, wireguard_go: &Path) -> Vec<Capability> {
    let mut all = probes::kernel(layout);
    all.extend(probes::programs(wireguard_go));
    all.extend(probes::privileges());
    all.extend(conflicts::conflicts(layout));
    all
}
