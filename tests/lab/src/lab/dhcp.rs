//! Uplinks on DHCP: dnsmasq at the ISP, udhcpc on the router.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Lab, furnish};
use crate::node::Node;
use crate::plan::{self, Attachment, UplinkPlan};

/// The shortest lease which dnsmasq gives, in seconds.
const LEASE_SECONDS: u32 = 120;

/// How long a router may take to get an address on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const CLIENT_SCRIPT: &str = include_str!("udhcpc.sh");

/// Starts a DHCP server which leases exactly one address.
pub(super) fn start_server(isp: &Node, uplink: &UplinkPlan, lease: &Attachment) -> Result<()> {
    let link = &uplink.link;
    let (address, gateway, mask) = (lease.address, lease.gateway, lease.network.netmask());
    let mtu = uplink.mtu;
    let config = format!(
        "port=0\nbind-interfaces\nexcept-interface=lo\ninterface={link}\nuser=root\n\
         dhcp-authoritative\nno-ping\nlog-dhcp\n\
         dhcp-range={address},{address},{mask},{LEASE_SECONDS}\n\
         dhcp-option=option:router,{gateway}\ndhcp-option=option:mtu,{mtu}\n\
         dhcp-leasefile=/run/dhcp-{link}.leases\npid-file=/run/dhcp-{link}.pid\n"
    );
    let path = format!("/run/dhcp-{link}.conf");
    isp.write_file(&path, config)?;
    let mut command = Command::new("dnsmasq");
    command
        .args(["--keep-in-foreground", "--log-facility=-"])
        .arg(format!("--conf-file={path}"));
    isp.spawn(&command)?
        .wait_for_output("DHCP, IP range", PATIENCE)
        .with_context(|| format!("starting the DHCP server of {link}"))
}

/// Starts a DHCP client, which keeps address and default route up to date.
pub(super) fn start_client(router: &Node, uplink: &UplinkPlan) -> Result<()> {
    const SCRIPT: &str = "/run/lab/udhcpc.sh";
    router.write_file(SCRIPT, CLIENT_SCRIPT)?;
    let interface = &uplink.interface;
    let mut command = Command::new("udhcpc");
    command.env("METRIC", furnish::metric(uplink).to_string());
    // `-t`/`-T`/`-A`: ask every second and never give up.
    command.args([
        "-f",
        "-t",
        "3",
        "-T",
        "1",
        "-A",
        "1",
        "-i",
        interface,
        "-s",
        "/run/lab/dhcp",
    ]);
    command.args(["-p", &format!("/run/udhcpc-{interface}.pid")]);
    router.write_file(
        "/run/lab/dhcp",
        "#!/bin/sh\nexec sh /run/lab/udhcpc.sh \"$@\"\n",
    )?;
    router.run(["chmod", "755", "/run/lab/dhcp"])?;
    router.spawn(&command).map(drop)
}

/// The address which the client has now.
pub(super) fn leased(router: &Node, uplink: &UplinkPlan) -> Option<String> {
    let text = router
        .read_file(format!("/run/lab/lease-{}", uplink.interface))
        .ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Waits until the client has this address.
pub(super) fn wait_for_lease(router: &Node, uplink: &UplinkPlan, lease: &Attachment) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let wanted = lease.address.to_string();
    while leased(router, uplink).as_ref() != Some(&wanted) {
        if Instant::now() > deadline {
            bail!(
                "{} got no lease of {wanted} on {}",
                router.name(),
                uplink.interface
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Moves an uplink to its next address.
pub(super) fn change(lab: &Lab, site: &str, uplink: &UplinkPlan) -> Result<Attachment> {
    let (router, isp) = (lab.node(site)?, lab.node(&uplink.isp)?);
    let link = &uplink.link;
    let counter = format!("/run/dhcp-{link}.generation");
    let generation = isp
        .read_file(&counter)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let old = plan::lease(lab.plan(), site, &uplink.name, generation)?;
    let new = plan::lease(lab.plan(), site, &uplink.name, generation + 1)?;
    isp.write_file(&counter, (generation + 1).to_string())?;

    isp.run([
        "sh",
        "-c",
        &format!("kill $(cat /run/dhcp-{link}.pid); rm -f /run/dhcp-{link}.*s"),
    ])?;
    isp.ip(&format!(
        "address del {} dev {link}\naddress add {} dev {link}\n",
        old.gateway_with_prefix(),
        new.gateway_with_prefix()
    ))?;
    start_server(&isp, uplink, &new)?;
    // Release, then ask again: what a modem does when its line comes back.
    let pid = format!("/run/udhcpc-{}.pid", uplink.interface);
    router.run([
        "sh",
        "-c",
        &format!("kill -USR2 $(cat {pid}) && sleep 0.1 && kill -USR1 $(cat {pid})"),
    ])?;
    wait_for_lease(&router, uplink, &new)?;
    Ok(new)
}
