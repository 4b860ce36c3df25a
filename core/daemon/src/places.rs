//! Where the daemon finds and keeps things.

use std::path::PathBuf;

use clap::Args;

/// Files and directories, with the defaults of the Debian package.
#[derive(Args, Clone, Debug)]
pub struct Places {
    /// The configuration file
    #[arg(
        long,
        default_value = "/etc/patronus/config.yaml",
        value_name = "FILE",
        global = true
    )]
    pub config: PathBuf,
    /// What must survive a reboot: private keys, and by what our kernel objects are known
    #[arg(
        long,
        default_value = "/var/lib/patronus",
        value_name = "DIR",
        global = true
    )]
    pub state_dir: PathBuf,
    /// What must survive until a reboot: the API's socket, and what kernel parameters were before
    #[arg(
        long,
        default_value = "/run/patronus",
        value_name = "DIR",
        global = true
    )]
    pub runtime_dir: PathBuf,
    /// The user-space WireGuard, for kernels without their own
    #[arg(
        long,
        default_value = "wireguard-go",
        value_name = "PROGRAM",
        global = true
    )]
    pub wireguard_go: PathBuf,
    /// Make tunnels with the user-space WireGuard also where the kernel has its own
    #[arg(long, global = true)]
    pub user_space_wireguard: bool,
}

impl Places {
    /// The API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join("patronus.sock")
    }

    /// The private keys of the uplinks.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.state_dir.join("keys")
    }

    /// The same for the kernel's side.
    #[must_use]
    pub fn kernel(&self) -> patronus_linux::Places {
        patronus_linux::Places {
            state: self.runtime_dir.clone(),
            keys: patronus_linux::KeyStore::new(&self.keys()),
            wireguard_go: self.wireguard_go.clone(),
            user_space: self.user_space_wireguard,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::Places;

    /// All of them in one directory, with this configuration.
    pub(crate) fn places(directory: &Path, config: &str) -> Places {
        let file = directory.join("config.yaml");
        std::fs::write(&file, config).unwrap();
        Places {
            config: file,
            state_dir: directory.join("state"),
            runtime_dir: directory.join("run"),
            wireguard_go: "wireguard-go".into(),
            user_space_wireguard: false,
        }
    }
}
