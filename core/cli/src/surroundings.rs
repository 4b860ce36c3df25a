//! What a configuration refers to on the machine on which it is checked.

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::SockaddrStorage;
use patronus_config::{Addresses, KeyDoubt, NoKey, NoPassword};
use patronus_model::Secret;
use patronus_model::ids::{IfName, UplinkName};
use patronus_model::wireguard::is_key;

/// Where the configuration of this very machine is.
const CONFIGURATION: &str = "/etc/patronus";

/// Where `patronusd` keeps the private keys of this machine.
const KEYS: &str = "/var/lib/patronus/keys";

/// What is known of the surroundings of a configuration.
pub(crate) struct Surroundings {
    /// Where the keys are, if this is the router.
    keys: Option<PathBuf>,
}

impl Surroundings {
    /// Those of a file: of one that `patronusd` here reads or is going to, this machine. Any other
    /// may be for another machine, whose keys and password files are not here.
    pub(crate) fn of(file: &Path) -> Self {
        let here = is_in(file, Path::new(CONFIGURATION));
        Self {
            keys: here.then(|| PathBuf::from(KEYS)),
        }
    }

    /// Those of another machine, or of none.
    pub(crate) const fn elsewhere() -> Self {
        Self { keys: None }
    }

    /// What is wrong with the key of an uplink. The key itself is read and forgotten.
    pub(crate) fn key(&self, uplink: &UplinkName) -> Result<Option<KeyDoubt>, NoKey> {
        let Some(directory) = &self.keys else {
            return Ok(None);
        };
        let file = directory.join(uplink.as_str());
        let said = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
        let text = match read(&file) {
            Ok(text) => text,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::NotFound => {
                        let missing = format!("there is no file {}", file.display());
                        Ok(Some(KeyDoubt::Missing(missing)))
                    }
                    ErrorKind::PermissionDenied => Ok(Some(KeyDoubt::Unseen(said(&error)))),
                    ErrorKind::InvalidData => Err(NoKey::Invalid(said(&NOT_A_KEY))),
                    _ => Err(NoKey::Unreadable(said(&error))),
                };
            }
        };
        if !is_key(text.expose().trim_ascii()) {
            return Err(NoKey::Invalid(said(&NOT_A_KEY)));
        }
        let mode = fs::metadata(&file).map_or(0, |file| file.permissions().mode()) & 0o7777;
        let exposed = || KeyDoubt::Exposed(format!("{} has mode {mode:04o}", file.display()));
        Ok((mode & 0o077 != 0).then(exposed))
    }

    /// The password in a file. What is not here is missing only if this is the router; what we may
    /// not read, root may.
    pub(crate) fn password(&self, file: &Path) -> Result<Secret, NoPassword> {
        read(file).map_err(|error| {
            let known = self.keys.is_some() && error.kind() != ErrorKind::PermissionDenied;
            let reason = error.to_string();
            match known {
                true => NoPassword::Unreadable(reason),
                false => NoPassword::Elsewhere(reason),
            }
        })
    }

    /// The addresses of an interface, if this is the router.
    pub(crate) fn addresses(&self, interface: &IfName) -> Addresses {
        let known = self.keys.as_ref().and_then(|_| getifaddrs().ok());
        let of_interface = known
            .into_iter()
            .flatten()
            .filter(|it| it.interface_name == interface.as_str());
        let mut addresses = Addresses::default();
        of_interface.for_each(|it| add(&it, &mut addresses));
        addresses
    }
}

/// Adds an address of ours, the network that it is in, and the one at the other end of the link.
fn add(found: &InterfaceAddress, to: &mut Addresses) {
    let Some(own) = found.address.as_ref().and_then(ip) else {
        return;
    };
    to.own.push(own);
    let mask = found.netmask.as_ref().and_then(ip);
    let network = |of: IpAddr| mask.and_then(|mask| IpNet::with_netmask(of, mask).ok());
    let ours = network(own);
    to.networks.extend(ours);
    // libc has one place for the other end and for a broadcast address, and nix goes by the kind of
    // the interface: an Ethernet can have an other end as well.
    let other = found.destination.as_ref().or(found.broadcast.as_ref());
    let other = other.and_then(ip).filter(|other| {
        let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
        *other != broadcast && !ours.is_some_and(|ours| ours.contains(other))
    });
    // The length is that of the network there.
    to.networks.extend(other.and_then(network));
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    v4.or_else(|| Some(IpAddr::V6(address.as_sockaddr_in6()?.ip())))
}

const NOT_A_KEY: &str = "not a private key";

/// The text in a file. Whatever that is, it is neither waited for nor read without end.
fn read(file: &Path) -> io::Result<Secret> {
    let found = fs::metadata(file)?;
    if found.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        let reason = "it is not a regular file";
        return Err(io::Error::new(ErrorKind::InvalidInput, reason));
    }
    let mut text = String::new();
    let most = patronus_config::MOST_BYTES as u64;
    fs::File::open(file)?.take(most).read_to_string(&mut text)?;
    Ok(Secret::new(text))
}

/// Whether a file is in a directory: by its name, or, if that is a link, by what that leads to. A
/// configuration is often a link into a repository.
fn is_in(file: &Path, directory: &Path) -> bool {
    let Ok(directory) = fs::canonicalize(directory) else {
        return false;
    };
    let parent = match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return false,
    };
    let by = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path.starts_with(&directory));
    by(parent) || by(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn a_link_in_the_directory_is_in_it_wherever_it_leads() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        for directory in ["etc", "etc/more", "repository"] {
            fs::create_dir(at(directory)).unwrap();
        }
        for file in [
            "etc/own.yaml",
            "etc/more/own.yaml",
            "repository/berlin.yaml",
        ] {
            fs::write(at(file), "").unwrap();
        }
        symlink(at("repository/berlin.yaml"), at("etc/config.yaml")).unwrap();
        symlink(at("etc/own.yaml"), at("repository/link.yaml")).unwrap();
        symlink(at("etc"), at("other-name")).unwrap();
        for (file, directory, is) in [
            ("etc/own.yaml", "etc", true),
            ("etc/more/own.yaml", "etc", true),
            ("etc/config.yaml", "etc", true),
            ("repository/link.yaml", "etc", true),
            ("other-name/config.yaml", "etc", true),
            ("etc/config.yaml", "other-name", true),
            ("repository/berlin.yaml", "etc", false),
            ("etc/../repository/berlin.yaml", "etc", false),
            ("etc/config.yaml", "nothing", false),
            ("nothing/config.yaml", "etc", false),
        ] {
            assert_eq!(is_in(&at(file), &at(directory)), is, "{file} {directory}");
        }
        assert!(!is_in(Path::new("Cargo.toml"), &at("etc")));
        assert!(is_in(
            Path::new("Cargo.toml"),
            Path::new(env!("CARGO_MANIFEST_DIR"))
        ));
    }

    #[test]
    fn keys_are_looked_at_on_the_router_and_never_shown() {
        let place = tempfile::tempdir().unwrap();
        let here = Surroundings {
            keys: Some(place.path().to_owned()),
        };
        let fibre: UplinkName = "fibre".parse().unwrap();
        let file = place.path().join("fibre");
        let name = file.display().to_string();
        let missing = KeyDoubt::Missing(format!("there is no file {name}"));
        assert_eq!(here.key(&fibre), Ok(Some(missing)));
        let private = "SGb+ojrRNDuMePufwtIYhXzA//k6wF3R21tEBgKlzlM=";
        let invalid = Err(NoKey::Invalid(format!("{name}: not a private key")));
        for garbage in [
            b"".as_slice(),
            b"\xff\xfe\x00",
            &private.as_bytes()[1..],
            format!("{private}\n{private}").as_bytes(),
        ] {
            fs::write(&file, garbage).unwrap();
            assert_eq!(here.key(&fibre), invalid, "{garbage:?}");
            assert_eq!(Surroundings::elsewhere().key(&fibre), Ok(None));
        }
        fs::write(&file, format!("{private}\n")).unwrap();
        let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        for (others, said) in [
            (0o600, None),
            (0o400, None),
            (0o644, Some("0644")),
            (0o640, Some("0640")),
        ] {
            mode(others);
            let said = said.map(|it| KeyDoubt::Exposed(format!("{name} has mode {it}")));
            assert_eq!(here.key(&fibre), Ok(said));
        }
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(matches!(here.key(&fibre), Err(NoKey::Unreadable(_))));
    }

    #[test]
    fn addresses_are_those_of_the_interface_on_the_router() {
        let here = Surroundings {
            keys: Some(PathBuf::new()),
        };
        let addresses = |at: &Surroundings, name: &str| at.addresses(&name.parse().unwrap());
        let loopback: IpNet = "127.0.0.1/8".parse().unwrap();
        let none = Addresses::default();
        assert!(addresses(&here, "lo").networks.contains(&loopback));
        assert_eq!(addresses(&here, "no-such"), none);
        assert_eq!(addresses(&Surroundings::elsewhere(), "lo"), none);
    }

    /// In a network of their own, with an interface of that kind.
    fn addresses_given(device: &'static str, address: &'static str) -> Addresses {
        let look = move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let add = format!("addr add dev wan0 {address}");
            for command in [device, &add] {
                let status = Command::new("ip").args(command.split(' ')).status();
                assert!(status.unwrap().success(), "ip {command}");
            }
            let keys = Some(PathBuf::new());
            Surroundings { keys }.addresses(&"wan0".parse().unwrap())
        };
        std::thread::spawn(look).join().unwrap()
    }

    #[test]
    fn the_other_end_of_a_link_is_no_address_of_ours() {
        let check = |address, networks: &[&str]| {
            let own: IpNet = networks[0].parse().unwrap();
            let expected = Addresses {
                own: vec![own.addr()],
                networks: networks.iter().map(|it| it.parse().unwrap()).collect(),
            };
            for device in [
                "tuntap add dev wan0 mode tun",
                "tuntap add dev wan0 mode tap",
            ] {
                let found = addresses_given(device, address);
                assert_eq!(found, expected, "{device}, {address}");
            }
        };
        check(
            "100.64.0.2 peer 100.64.0.1",
            &["100.64.0.2/32", "100.64.0.1/32"],
        );
        check(
            "2001:db8::2 peer 2001:db8:1::1/64",
            &["2001:db8::2/64", "2001:db8:1::1/64"],
        );
        check("192.0.2.2/24 broadcast 192.0.2.255", &["192.0.2.2/24"]);
        check("192.0.2.2/24 broadcast 255.255.255.255", &["192.0.2.2/24"]);
        check("192.0.2.2/24", &["192.0.2.2/24"]);
    }

    #[test]
    fn a_password_file_that_is_not_here_is_missing_only_on_the_router_itself() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("password");
        let here = Surroundings {
            keys: Some(PathBuf::new()),
        };
        let elsewhere = Surroundings::elsewhere();
        for found in [here.password(&file), elsewhere.password(&file)] {
            let reason = match found {
                Err(NoPassword::Unreadable(reason) | NoPassword::Elsewhere(reason)) => reason,
                Ok(_) => String::new(),
            };
            assert!(reason.contains("No such file"), "{reason}");
        }
        assert!(matches!(
            here.password(&file),
            Err(NoPassword::Unreadable(_))
        ));
        assert!(matches!(
            elsewhere.password(&file),
            Err(NoPassword::Elsewhere(_))
        ));
        fs::write(&file, "correct-horse\n").unwrap();
        for place in [here, elsewhere] {
            let read = place.password(&file);
            assert!(read.is_ok_and(|it| it.expose() == "correct-horse\n"));
        }
    }
}
