use super::*;

fn plan(yaml: &str) -> Plan {
    Plan::derive(&Topology::parse(yaml).unwrap()).unwrap()
}

#[test]
fn the_default_topology_has_the_documented_addresses() {
    let plan = plan(crate::topology::DEFAULT);
    let lte = plan.uplink("lisbon", "lte").unwrap();
    let ipv4 = lte.ipv4.unwrap();
    let ipv6 = lte.ipv6.unwrap();
    assert_eq!(ipv4.with_prefix(), "100.66.2.34/28");
    assert_eq!(ipv4.gateway.to_string(), "100.66.2.33");
    assert_eq!(ipv6.with_prefix(), "2001:db8:2:202::2/64");
    assert_eq!((&*lte.interface, &*lte.link), ("wan2", "s2u2"));

    let lan = &plan.site("oslo").unwrap().lans[0];
    assert_eq!(lan.router[0].with_prefix(), "10.3.0.1/24");
    assert_eq!(lan.hosts[0].ipv6().unwrap().to_string(), "fd00:3::11");
    assert_eq!(lan.hosts[0].node, "oslo-h1");
    assert_eq!(plan.isps[1].core[0].with_prefix(), "100.64.0.10/30");
}

#[test]
fn no_two_addresses_of_a_large_plan_are_equal() {
    let uplinks: String = (1..=15)
        .map(|n| format!("      - {{ name: u{n}, isp: a, nat: {} }}\n", n % 2 == 0))
        .collect();
    let sites: String = (1..=127)
        .map(|n| format!("  - name: site-{n}\n    uplinks:\n{uplinks}"))
        .collect();
    let plan = plan(&format!("isps:\n  - name: a\nsites:\n{sites}"));
    let mut seen = std::collections::BTreeSet::new();
    for (site, uplink) in plan.uplinks() {
        for generation in 0..4 {
            let lease = lease(&plan, &site.name, &uplink.name, generation).unwrap();
            assert!(seen.insert(lease.address), "{} twice", lease.address);
        }
        if let Some(ipv6) = uplink.ipv6 {
            assert!(seen.insert(ipv6.address), "{} twice", ipv6.address);
        }
    }
}

#[test]
fn overrides_replace_derived_values() {
    let plan = plan(
        "isps: [{name: a}]
sites:
  - name: one
    lans: [{hosts: 2, ipv4: 172.16.8.0/22}]
    uplinks:
      - { name: u, isp: a, ipv4_network: 198.51.100.4/30, delay: 10ms, up: {rate: 5mbit, delay: 7ms} }",
    );
    let site = plan.site("one").unwrap();
    assert_eq!(site.lans[0].router[0].with_prefix(), "172.16.8.1/22");
    assert_eq!(site.lans[0].switch_node(site).as_deref(), Some("one-sw1"));
    let uplink = site.uplink("u").unwrap();
    assert_eq!(uplink.ipv4.unwrap().with_prefix(), "198.51.100.6/30");
    assert_eq!(uplink.profile.up.delay, crate::Span::millis(7));
    assert_eq!(uplink.profile.down.delay, crate::Span::millis(10));
    assert_eq!(uplink.profile.down.rate, None);
}

#[test]
fn a_topology_that_makes_no_sense_names_everything_that_is_wrong() {
    let yaml = "isps: [{name: a}, {name: a}]
sites:
  - name: One
    uplinks:
      - { name: u, isp: b }
      - { name: u, isp: a, direct: true, delay: 3ms }";
    let message = format!("{:#}", Topology::parse(yaml).unwrap_err());
    for hint in [
        "isp a: the name is used twice",
        "\"One\"",
        "no isp \"b\"; there are: a",
        "direct",
    ] {
        assert!(message.contains(hint), "{hint} is missing in:\n{message}");
    }
    let unknown = Topology::parse("isps: [{name: a, colour: red}]\nsites: []").unwrap_err();
    assert!(format!("{unknown:#}").contains("colour"), "{unknown:#}");
}
