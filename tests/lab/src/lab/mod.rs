//! A lab that is up: its nodes, and what can be done to its uplinks.

mod dhcp;
mod direct;
mod frr;
mod furnish;
mod nat;
mod raise;
mod requirements;
mod router;
mod wires;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

pub(crate) use requirements::require;
pub use router::{Host, Router};

use crate::node::Node;
use crate::plan::{Attachment, Impairment, Plan, Profile, UplinkPlan, WAN_NODE};
use crate::quantity::{Loss, Rate, Span};
use crate::registry;
use crate::sandbox::Sandbox;
use crate::topology::{Addressing, Topology};
use crate::wan::{self, Cut, LinkState};

/// Sites, ISPs and hosts as a [`Topology`] describes them.
///
/// Ends like a [`Sandbox`] does.
#[derive(Debug)]
pub struct Lab {
    sandbox: Sandbox,
    plan: Plan,
}

/// A change of what the WAN emulator does to an uplink. What is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Degradation {
    /// Delay of every packet.
    pub delay: Option<Span>,
    /// Random extra delay from 0 to this.
    pub jitter: Option<Span>,
    /// Packets lost at random.
    pub loss: Option<Loss>,
    /// Bandwidth.
    pub rate: Option<Rate>,
    /// Which packets are meant.
    pub direction: Direction,
}

/// Which packets of an uplink are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// All.
    #[default]
    Both,
    /// Those from the router to the ISP.
    Up,
    /// Those from the ISP to the router.
    Down,
}

impl Degradation {
    fn apply(&self, mut profile: Profile) -> Profile {
        let change = |impairment: &mut Impairment| {
            impairment.delay = self.delay.unwrap_or(impairment.delay);
            impairment.jitter = self.jitter.unwrap_or(impairment.jitter);
            impairment.loss = self.loss.unwrap_or(impairment.loss);
            impairment.rate = self.rate.or(impairment.rate);
        };
        if self.direction != Direction::Down {
            change(&mut profile.up);
        }
        if self.direction != Direction::Up {
            change(&mut profile.down);
        }
        profile
    }
}

impl Lab {
    /// Brings a lab up under a unique name.
    ///
    /// # Errors
    /// When the topology makes no sense, something is not installed, or the kernel refuses.
    pub fn up(topology: &Topology) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::up_as(
            &format!("lab-{}-{number}", std::process::id()),
            topology,
            &mut |_| {},
        )
    }

    /// Brings a lab up under a given name, and tells each step.
    ///
    /// # Errors
    /// Like [`Self::up`], and when a lab of this name is up.
    pub fn up_as(name: &str, topology: &Topology, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        let plan = Plan::derive(topology)?;
        requirements::check(&plan)?;
        let sandbox = Sandbox::with_name(name)?;
        raise::raise(&sandbox, &plan, progress)?;
        let saved = serde_json::to_vec_pretty(&plan)?;
        std::fs::write(plan_file(name), saved).context("writing the plan of the lab")?;
        Ok(Self { sandbox, plan })
    }

    /// Finds a lab that is up, of whichever creator.
    ///
    /// # Errors
    /// When there is none of this name, or it is a sandbox without a plan.
    pub fn attach(name: &str) -> Result<Self> {
        let sandbox = Sandbox::attach(name)?;
        let path = plan_file(name);
        let plan = std::fs::read(&path)
            .with_context(|| format!("lab {name} has no topology, or is not ready yet"))?;
        let plan = serde_json::from_slice(&plan)
            .with_context(|| format!("{} is of another version", path.display()))?;
        Ok(Self { sandbox, plan })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.sandbox.name()
    }

    /// All names and addresses.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The namespaces below, for nodes and links that the topology does not have.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Any node by its name (see [`Plan::nodes`]).
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn node(&self, name: &str) -> Result<Node> {
        self.sandbox.find(name)
    }

    /// The router of a site.
    ///
    /// # Errors
    /// When there is no such site.
    pub fn router(&self, site: &str) -> Result<Router> {
        let plan = self.plan.site(site)?.clone();
        Ok(Router {
            node: self.node(&plan.name)?,
            plan,
        })
    }

    /// A host of a site, counted from 1.
    ///
    /// # Errors
    /// When there is no such site or host.
    pub fn host(&self, site: &str, number: usize) -> Result<Host> {
        let plan = self.plan.site(site)?;
        let host = number
            .checked_sub(1)
            .and_then(|index| plan.hosts().nth(index))
            .cloned();
        let host = host.with_context(|| {
            format!(
                "site {site} has no host {number}; it has {}",
                plan.hosts().count()
            )
        })?;
        Ok(Host {
            node: self.node(&host.node)?,
            plan: host,
        })
    }

    /// Breaks an uplink. Another cut replaces an earlier one.
    ///
    /// # Errors
    /// When there is no such uplink, or a `direct` one is to flap.
    pub fn cut(&self, site: &str, uplink: &str, cut: Cut) -> Result<()> {
        let uplink = self.plan.uplink(site, uplink)?;
        if uplink.direct {
            return direct::cut(&self.node(&uplink.isp)?, uplink, cut);
        }
        self.emulator()?.cut(&uplink.link, cut)
    }

    /// Undoes cuts and degradations of an uplink.
    ///
    /// # Errors
    /// When there is no such uplink.
    pub fn heal(&self, site: &str, uplink: &str) -> Result<()> {
        let uplink = self.plan.uplink(site, uplink)?;
        if uplink.direct {
            return direct::heal(&self.node(&uplink.isp)?, uplink);
        }
        self.emulator()?.heal(&uplink.link)
    }

    /// Makes an uplink worse, or better.
    ///
    /// # Errors
    /// When there is no such uplink, or it is `direct`.
    pub fn degrade(&self, site: &str, uplink: &str, change: &Degradation) -> Result<()> {
        let plan = self.plan.uplink(site, uplink)?;
        if plan.direct {
            bail!("uplink {uplink} of {site} is direct: it has no emulator that could degrade it");
        }
        let mut emulator = self.emulator()?;
        let state = emulator
            .status()?
            .into_iter()
            .find(|state| state.link == plan.link);
        let profile = state
            .with_context(|| format!("no link {}", plan.link))?
            .profile;
        let new = change.apply(profile);
        emulator.degrade(&plan.link, Some(new.up), Some(new.down))
    }

    /// What the WAN emulator does to the uplinks, and did to their packets. Uplinks that are
    /// `direct` are missing here.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn links(&self) -> Result<Vec<LinkState>> {
        if self.plan.uplinks().all(|(_, uplink)| uplink.direct) {
            return Ok(Vec::new());
        }
        self.emulator()?.status()
    }

    /// What breaks an uplink at the moment.
    ///
    /// # Errors
    /// When there is no such uplink.
    pub fn cut_of(&self, site: &str, uplink: &str) -> Result<Option<Cut>> {
        let uplink = self.plan.uplink(site, uplink)?;
        if uplink.direct {
            return Ok(direct::state(&self.node(&uplink.isp)?, uplink));
        }
        let state = self
            .links()?
            .into_iter()
            .find(|state| state.link == uplink.link);
        Ok(state.and_then(|state| state.cut))
    }

    /// Lets the ISP of a DHCP uplink move it to another network and address, as a modem that
    /// reconnects does; returns the new address when the router has it.
    ///
    /// # Errors
    /// When the uplink is not on DHCP, or the router has not taken the address after 20 s.
    pub fn change_address(&self, site: &str, uplink: &str) -> Result<Attachment> {
        let plan = self.dhcp_uplink(site, uplink)?;
        dhcp::change(self, site, plan)
    }

    /// The present address of an uplink on DHCP; `None` while the router has none.
    ///
    /// # Errors
    /// When the uplink is not on DHCP.
    pub fn leased_address(&self, site: &str, uplink: &str) -> Result<Option<String>> {
        let plan = self.dhcp_uplink(site, uplink)?;
        Ok(dhcp::leased(&self.node(site)?, plan))
    }

    /// Lets the ISP of an uplink behind NAT forget its bindings, as one does that restarts: the next
    /// packet that goes out gets another outer port, and until then none comes in. Returns how many
    /// bindings there were.
    ///
    /// # Errors
    /// When the uplink is not behind NAT or has no address, or `conntrack` is not installed.
    pub fn forget_nat(&self, site: &str, uplink: &str) -> Result<usize> {
        let plan = self.plan.uplink(site, uplink)?;
        if !plan.nat {
            bail!("uplink {uplink} of {site} is not behind NAT; set \"nat: true\"");
        }
        let address = match plan.addressing {
            Addressing::Dhcp => {
                dhcp::leased(&self.node(site)?, plan).and_then(|address| address.parse().ok())
            }
            Addressing::Static => plan.ipv4.map(|attachment| attachment.address),
        };
        let address = address.with_context(|| format!("{uplink} of {site} has no address"))?;
        nat::forget(&self.node(&plan.isp)?, address)
    }

    fn dhcp_uplink(&self, site: &str, uplink: &str) -> Result<&UplinkPlan> {
        let plan = self.plan.uplink(site, uplink)?;
        if plan.addressing != Addressing::Dhcp {
            bail!("uplink {uplink} of {site} has a static address; set \"address: dhcp\"");
        }
        Ok(plan)
    }

    fn emulator(&self) -> Result<wan::Client> {
        wan::Client::connect(&self.node(WAN_NODE)?)
    }

    /// Lets commands of `patronus-lab` choose this lab when none is named, which are not meant to
    /// meet the labs of running tests.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn offer(&self) -> Result<()> {
        registry::offer(self.name())
    }

    /// From now on the lab stays up until somebody stops it.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn detach(&mut self) -> Result<()> {
        self.sandbox.detach()
    }

    /// Ends the lab, and waits until everything of it is gone.
    ///
    /// # Errors
    /// When it is not gone after 20 s.
    pub fn stop(self) -> Result<()> {
        self.sandbox.stop()
    }
}

fn plan_file(name: &str) -> PathBuf {
    registry::directory(name).join("plan.json")
}
