//! What routers are sent is what was planned, and what they have in common is there once.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use patronus_config::{Severity, assemble};
use patronus_control::session::{Piece, PieceId, Snapshot};
use patronus_controller::{Commit, Controller, Snapshots};
use patronus_model::ids::SiteId;
use patronus_model::intent::{Kind, ObjectId, UplinkFacts};
use patronus_model::wireguard::PublicKey;
use patronus_planner::Plan;
use patronus_store::Store;

const EXAMPLE: &str = include_str!("../../../docs/examples/network.yaml");

/// Somebody's commits, and what becomes of them.
struct Network {
    _folder: tempfile::TempDir,
    controller: Controller,
    snapshots: Option<Snapshots>,
    keys: u8,
}

impl Network {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/controller.db", folder.path().display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let mut network = Self {
            _folder: folder,
            controller: Controller::open(store).await.unwrap(),
            snapshots: None,
            keys: 0,
        };
        network.commit(&[], EXAMPLE).await;
        for site in ["berlin", "frankfurt", "lisbon"] {
            network.tell(site).await;
        }
        network
    }

    fn plan(&self) -> Plan {
        self.controller.state().plan.clone().unwrap()
    }

    async fn commit(&mut self, gone: &[(Kind, &str)], text: &str) {
        for (kind, name) in gone {
            let id = ObjectId::new(*kind, name);
            self.controller.stage_removal("anna", &id, 0).await.unwrap();
        }
        if !text.is_empty() {
            self.controller
                .stage("anna", text, "text", 0)
                .await
                .unwrap();
        }
        let commit = Commit {
            author: "anna".to_owned(),
            ..Commit::default()
        };
        self.controller.commit("anna", &commit, 0).await.unwrap();
        self.check();
    }

    /// A router tells keys that nobody has told.
    async fn tell(&mut self, site: &str) {
        let site: SiteId = site.parse().unwrap();
        let plan = self.plan();
        let mut facts = BTreeMap::new();
        for uplink in &plan.inputs().intent.sites[&site].uplinks {
            self.keys += 1;
            let public_key = PublicKey([self.keys; 32]);
            let told = UplinkFacts {
                public_key,
                address: None,
            };
            facts.insert(uplink.name.clone(), told);
        }
        self.controller.tell(&site, &facts, 0).await.unwrap();
        self.check();
    }

    fn snapshot(&self, site: &str) -> Snapshot {
        let snapshots = self.snapshots.as_ref().unwrap();
        let snapshot = snapshots.get(&site.parse().unwrap()).unwrap();
        snapshot.unwrap().clone()
    }

    fn piece(&self, at: &str, id: &PieceId) -> Option<Arc<Piece>> {
        let snapshot = self.snapshot(at);
        let mut pieces = snapshot.pieces().iter();
        pieces.find(|piece| piece.id() == id).cloned()
    }

    /// What was changed is what would have been made anew, and routers take it.
    fn check(&mut self) {
        let plan = self.plan();
        let next = Snapshots::new(plan.clone(), self.snapshots.as_ref());
        let anew = Snapshots::new(plan.clone(), None);
        for site in plan.inputs().intent.sites.keys() {
            let snapshot = next.get(site).unwrap().unwrap();
            assert_eq!(Some(Ok(snapshot)), anew.get(site), "{site}");
            let texts = snapshot.texts();
            assert_eq!(texts.sites.len(), plan.remotes(site).count());
            assert_eq!(texts.policies.len(), plan.policies(site).count());
            let file = assemble(texts.own, texts.sites, texts.policies);
            let found = patronus_config::check(&file, "planned.yaml");
            let errors = found.iter().filter(|it| it.severity == Severity::Error);
            let errors: Vec<String> = errors.map(ToString::to_string).collect();
            assert_eq!(errors, Vec::<String>::new(), "{file}");
        }
        let gone = self.snapshots.as_ref().into_iter();
        let gone = gone.flat_map(|_| ["berlin", "frankfurt", "lisbon", "oslo"]);
        for site in gone.map(|site| site.parse::<SiteId>().unwrap()) {
            let is_there = plan.inputs().intent.sites.contains_key(&site);
            assert_eq!(next.get(&site).is_some(), is_there, "{site}");
        }
        self.snapshots = Some(next);
    }
}

fn site(id: &str) -> PieceId {
    PieceId::Site(id.parse().unwrap())
}

fn policy(name: &str) -> PieceId {
    PieceId::Policy(name.parse().unwrap())
}

const OSLO: &str = "kind: site\nid: oslo\nlabels: {region: eu}\nuplinks: [{name: fibre, interface: wan0, \
                    gateway: 192.0.2.129, endpoint: 192.0.2.130}]\n";

/// The object of the example that has this line, changed.
fn changed(line: &str, from: &str, to: &str) -> String {
    let object = EXAMPLE.split("---\n").find(|it| it.contains(line)).unwrap();
    assert!(object.contains(from));
    object.replace(from, to)
}

#[tokio::test]
async fn changes_come_to_what_would_be_made_anew() {
    let mut network = Network::new().await;
    network
        .commit(&[], &changed("name: erp", "443", "8443"))
        .await;
    network.commit(&[(Kind::Policy, "no-telnet")], "").await;
    network.commit(&[], OSLO).await;
    network.tell("oslo").await;
    network.tell("berlin").await;
    network.commit(&[(Kind::Site, "oslo")], "").await;
    network.commit(&[], OSLO).await;
    // A class gets another name, and keeps its number.
    let renamed = changed("name: voice\n", "name: voice", "name: calls");
    let user = changed("name: voice-first", "class: voice", "class: calls");
    let both = format!("{renamed}---\n{user}");
    network.commit(&[(Kind::Class, "voice")], &both).await;
    let text = network.piece("berlin", &policy("voice-first")).unwrap();
    assert!(text.text().contains("calls"), "{}", text.text());
}

#[tokio::test]
async fn what_routers_have_in_common_is_there_once() {
    let mut network = Network::new().await;
    let same = |one: Option<Arc<Piece>>, other: Option<Arc<Piece>>| {
        Arc::ptr_eq(&one.unwrap(), &other.unwrap())
    };
    let of = |network: &Network, at: &str, id: &PieceId| network.piece(at, id);
    let (frankfurt, erp, voice) = (site("frankfurt"), policy("erp"), policy("voice-first"));
    let berlin = of(&network, "berlin", &frankfurt);
    assert!(same(berlin.clone(), of(&network, "lisbon", &frankfurt)));
    let before = of(&network, "berlin", &erp);
    let kept = of(&network, "berlin", &voice);
    network
        .commit(&[], &changed("name: erp", "443", "8443"))
        .await;
    assert!(!same(before, of(&network, "berlin", &erp)));
    assert!(same(
        of(&network, "berlin", &erp),
        of(&network, "lisbon", &erp)
    ));
    assert!(same(kept.clone(), of(&network, "berlin", &voice)));
    // Also for who comes later.
    network.commit(&[], OSLO).await;
    network.tell("oslo").await;
    assert!(same(berlin, of(&network, "oslo", &frankfurt)));
    assert!(same(kept, of(&network, "oslo", &voice)));
}
