//! What this machine can do, what it cannot, and what stands in our way. Probing changes nothing:
//! whatever has to be tried is tried in a network namespace that vanishes with its thread.

mod ahead;
mod conflicts;
mod forwarding;
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

/// Something that others may have done and that would be in our way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where.
    pub name: &'static str,
    /// What is in the way there; nothing, if all is well. Or why that is not known.
    pub found: Result<Vec<String>, String>,
    /// Whether traffic goes astray by it, rather than may.
    pub harmful: bool,
    /// What of ours suffers.
    pub harms: &'static str,
    /// What happens then.
    pub cost: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Conflict {
    /// Whether nothing is in the way, as far as is known.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.found.as_ref().is_ok_and(Vec::is_empty)
    }
}

/// What was found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// What it has and lacks.
    pub capabilities: Vec<Capability>,
    /// What is, or might be, in our way.
    pub conflicts: Vec<Conflict>,
}

impl Findings {
    /// Whether the router works here, and nothing leads its traffic astray.
    #[must_use]
    pub fn are_well(&self) -> bool {
        let works = self.capabilities.iter().all(|it| it.found || !it.required);
        works && self.conflicts.iter().all(|it| it.is_clear() || !it.harmful)
    }
}

/// Looks for everything that the router may use, and for whatever may be in its way. `passwords` is
/// how many BGP sessions of one address family are to have one.
#[must_use]
pub fn examine(layout: &KernelLayout, wireguard_go: &Path, passwords: usize) -> Findings {
    let mut capabilities = probes::kernel(layout);
    capabilities.push(probes::passwords(passwords));
    capabilities.extend(probes::programs(wireguard_go));
    capabilities.extend(probes::privileges());
    Findings {
        capabilities,
        conflicts: conflicts::conflicts(layout),
    }
}

/// Looks for what others have put into the way of packets, whatever our own rules say. It reads the
/// kernel's rules and runs `nft`, and takes some ten milliseconds.
#[must_use]
pub fn obstacles(layout: &KernelLayout) -> Vec<Conflict> {
    conflicts::ahead_of_ours(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(missing: Option<bool>, conflict: (Result<&[&str], &str>, bool), well: bool) {
        let (found, harmful) = conflict;
        let findings = Findings {
            capabilities: vec![Capability {
                name: "TUN",
                found: missing.is_none(),
                detail: String::new(),
                required: missing == Some(true),
                needed_for: "",
                cost_when_missing: "",
                remedy: "",
            }],
            conflicts: vec![Conflict {
                name: "rules",
                found: found
                    .map(|list| list.iter().map(|&it| it.to_owned()).collect())
                    .map_err(str::to_owned),
                harmful,
                harms: "",
                cost: "",
                remedy: "",
            }],
        };
        assert_eq!(findings.are_well(), well, "{findings:?}");
    }

    #[test]
    fn all_is_well_unless_something_required_is_missing_or_something_harmful_in_the_way() {
        let clear: (Result<&[&str], &str>, bool) = (Ok(&[]), true);
        check(None, clear, true);
        check(Some(false), clear, true);
        check(Some(true), clear, false);
        check(None, (Ok(&["rule 1001"]), false), true);
        check(None, (Ok(&["rule 1001"]), true), false);
        check(None, (Err("no permission"), false), true);
        // Nobody knows whether it is.
        check(None, (Err("no permission"), true), false);
    }
}
