//! Kernel parameters: set, observed, and given back.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::durable;
use crate::error::{Doing, Error};

/// The parameters that we changed, with the values that they had before. These are kept in a file
/// below `/run`, for they are true until the next boot and no longer.
pub(crate) struct Sysctls {
    root: PathBuf,
    file: PathBuf,
    originals: BTreeMap<String, String>,
}

impl Sysctls {
    /// Reads what an earlier process saved. `directory` need not exist yet.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        Self::open_at(Path::new("/proc/sys"), directory)
    }

    fn open_at(root: &Path, directory: &Path) -> Result<Self, Error> {
        let file = directory.join("sysctls");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).doing(|| format!("reading {}", file.display())),
        };
        let originals = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(path, value)| (path.to_owned(), value.to_owned()))
            .collect();
        Ok(Self {
            root: root.to_owned(),
            file,
            originals,
        })
    }

    /// The parameters that we set, as they are now. One whose interface is gone is missing.
    pub(crate) fn observe(&self) -> BTreeMap<String, String> {
        self.originals
            .keys()
            .filter_map(|path| Some((path.clone(), self.read(path).ok()?)))
            .collect()
    }

    /// Sets a parameter, and remembers the value that it had before us.
    pub(crate) fn put(&mut self, path: &str, value: &str) -> Result<(), Error> {
        let before = self.read(path)?;
        if !self.originals.contains_key(path) {
            // Saved first: if we die in between, a value is given back that was never changed.
            self.originals.insert(path.to_owned(), before);
            self.save()?;
        }
        self.write(path, value)
    }

    /// Gives a parameter back the value that it had before us.
    pub(crate) fn restore(&mut self, path: &str) -> Result<(), Error> {
        let Some(value) = self.originals.get(path).cloned() else {
            return Ok(());
        };
        match self.write(path, &value) {
            // It went away with its interface.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
        self.originals.remove(path);
        self.save()
    }

    /// The paths of all parameters that we set.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.originals.keys().cloned().collect()
    }

    fn place(&self, path: &str) -> Result<PathBuf, Error> {
        let relative = Path::new(path);
        let plain = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if plain && !path.is_empty() {
            Ok(self.root.join(relative))
        } else {
            Err(Error::BadFile {
                path: path.to_owned(),
                problem: "not a path below /proc/sys, such as net/ipv4/ip_forward".to_owned(),
            })
        }
    }

    /// The value with its blanks evened out: the kernel separates lists by tabs.
    fn read(&self, path: &str) -> Result<String, Error> {
        let text = fs::read_to_string(self.place(path)?).doing(|| explain("reading", path))?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn write(&self, path: &str, value: &str) -> Result<(), Error> {
        fs::write(self.place(path)?, value)
            .doing(|| format!("{} to {value}", explain("setting", path)))
    }

    fn save(&self) -> Result<(), Error> {
        if self.originals.is_empty() {
            return fs::remove_file(&self.file)
                .doing(|| format!("removing {}", self.file.display()));
        }
        let text: String = self
            .originals
            .iter()
            .map(|(path, value)| format!("{path}={value}\n"))
            .collect();
        durable::replace(&self.file, text.as_bytes())
    }
}

/// Switches IPv6 on for an interface of ours, wherever the administrator has switched it off for
/// all: nexthop objects are of that family, also those which only IPv4 routes use, and the kernel
/// refuses them on an interface without it. Does nothing on a kernel without IPv6.
pub(crate) fn enable_ipv6(interface: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    match fs::read_to_string(&path) {
        Ok(value) if value.trim() != "0" => {
            fs::write(&path, "0").doing(|| format!("switching IPv6 on for {interface}"))
        }
        _ => Ok(()),
    }
}

/// Names the interface when the parameter belongs to one: that it does not exist is the usual
/// reason for a failure.
fn explain(verb: &str, path: &str) -> String {
    let mut parts = path
        .split('/')
        .skip_while(|part| !matches!(*part, "conf" | "neigh"));
    match (parts.next(), parts.next()) {
        (Some(_), Some(interface)) if !matches!(interface, "all" | "default") => {
            format!("{verb} kernel parameter {path} (does interface {interface} exist?)")
        }
        _ => format!("{verb} kernel parameter {path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Sysctls) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sys/net/ipv4")).unwrap();
        fs::write(dir.path().join("sys/net/ipv4/ip_forward"), "0\n").unwrap();
        fs::write(dir.path().join("sys/net/ipv4/tcp_rmem"), "1\t2\t3\n").unwrap();
        let sysctls = Sysctls::open_at(&dir.path().join("sys"), &dir.path().join("state")).unwrap();
        (dir, sysctls)
    }

    #[test]
    fn the_first_value_comes_back_even_after_a_restart() {
        let (dir, mut sysctls) = tree();
        let path = "net/ipv4/ip_forward";
        assert!(sysctls.observe().is_empty());
        sysctls.put(path, "1").unwrap();
        sysctls.put(path, "2").unwrap();
        let (root, state) = (dir.path().join("sys"), dir.path().join("state"));
        let mut later = Sysctls::open_at(&root, &state).unwrap();
        assert_eq!(later.observe()[path], "2");
        later.restore(path).unwrap();
        assert_eq!(fs::read_to_string(root.join(path)).unwrap(), "0");
        assert!(Sysctls::open_at(&root, &state).unwrap().paths().is_empty());
    }

    #[test]
    fn lists_are_compared_without_their_tabs() {
        let (_dir, mut sysctls) = tree();
        sysctls.put("net/ipv4/tcp_rmem", "4 5 6").unwrap();
        assert_eq!(sysctls.observe()["net/ipv4/tcp_rmem"], "4 5 6");
    }

    #[test]
    fn a_missing_interface_is_named() {
        let (_dir, mut sysctls) = tree();
        let error = sysctls
            .put("net/ipv4/conf/wan9/rp_filter", "2")
            .unwrap_err();
        assert!(
            error.report().contains("does interface wan9 exist?"),
            "{}",
            error.report()
        );
        assert!(sysctls.paths().is_empty());
    }

    #[test]
    fn paths_stay_below_proc_sys() {
        let (_dir, mut sysctls) = tree();
        for bad in ["", "/etc/passwd", "net/../../x"] {
            assert!(sysctls.put(bad, "1").is_err(), "{bad:?}");
        }
    }
}
