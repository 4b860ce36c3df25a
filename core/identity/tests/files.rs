//! Files with private keys: whole, for their owner only, and never two of what there is one of.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use patronus_identity::{
    Authority, Enrolment, IdentityError, PrivateKey, Request, SiteIdentity, UnixTime,
};

const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn identity(authority: &Authority) -> SiteIdentity {
    let key = PrivateKey::generate().unwrap();
    let request = Request::from_der(&Request::make(&key).unwrap()).unwrap();
    let site = "berlin".parse().unwrap();
    let certificate = authority.issue_site(&site, Enrolment::FIRST, &request, NOW);
    SiteIdentity::new(key, certificate.unwrap(), authority.certificate().clone()).unwrap()
}

#[test]
fn an_authority_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.pem");
    let made = Authority::open_or_create(&path, NOW).unwrap();
    assert_eq!(mode(&path), 0o600);
    let read = Authority::open_or_create(&path, NOW).unwrap();
    assert_eq!(read.fingerprint(), made.fingerprint());
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn of_many_who_make_an_authority_at_once_all_get_the_same() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority.pem");
        let barrier = Barrier::new(4);
        let make = || {
            barrier.wait();
            Authority::open_or_create(&path, NOW).unwrap().fingerprint()
        };
        let all = thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(make));
            threads.map(|thread| thread.join().unwrap())
        });
        assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
    }
}

#[test]
fn an_identity_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("router.pem");
    assert!(SiteIdentity::open(&path).unwrap().is_none());
    let authority = Authority::create(NOW).unwrap();
    for _ in 0..2 {
        let identity = identity(&authority);
        identity.save(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        let read = SiteIdentity::open(&path).unwrap().unwrap();
        assert_eq!(read.certificate(), identity.certificate());
        assert_eq!(read.authority(), authority.certificate());
        assert_eq!(read.key.fingerprint(), identity.key.fingerprint());
    }
    // What cannot be written leaves what is there.
    let nowhere = folder.path().join("nowhere").join("router.pem");
    let error = identity(&authority).save(&nowhere).unwrap_err().to_string();
    assert!(
        error.contains("nowhere/router.pem: it cannot be written"),
        "{error}"
    );
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    PrivateKey::open_or_create(&path).unwrap();
    for open in [0o640, 0o604, 0o660, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
        let error = PrivateKey::open_or_create(&path).unwrap_err();
        assert!(
            matches!(error, IdentityError::Exposed { mode, .. } if mode == open),
            "{error}"
        );
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    assert!(PrivateKey::open_or_create(&path).is_ok());
}

#[test]
fn what_is_no_key_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let write = |text: &[u8]| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    };
    let large = vec![b'x'; 65 * 1024];
    let table: [(&[u8], &str); 4] = [
        (b"", "key.pem"),
        (b"not a key", "key.pem"),
        (b"\xff\xfe", "it cannot be read"),
        (&large, "it cannot be read"),
    ];
    for (text, expected) in table {
        write(text);
        let error = PrivateKey::open_or_create(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let error = Authority::open_or_create(&path, NOW)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs::read(&path).unwrap(), text);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    assert!(PrivateKey::open_or_create(&path).is_err());
}
