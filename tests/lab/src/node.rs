//! A machine of a lab: router, host, ISP, or whatever a test makes of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigHandler, Signal};

use crate::control::Control;
use crate::process::Process;
use crate::sys;
use crate::wire::{self, Reply, Request, Spawn};

/// How long [`Node::run`] waits for a program.
pub const RUN_LIMIT: Duration = Duration::from_secs(60);

/// A machine of a lab. Cheap to clone; useless once its lab has ended.
///
/// It has a network, a mount and a UTS namespace of its own, a fresh `/run`, `/etc/frr`,
/// `/etc/patronus`, `/var/lib/patronus`, `/var/log` and `/var/tmp`, and copy-on-write `/etc` and
/// `/var`. The rest of the file system, `/tmp` among it, is the host's.
#[derive(Debug, Clone)]
pub struct Node {
    control: Arc<Control>,
    name: String,
    holder: Arc<OwnedFd>,
    pid: i32,
    inner_pid: i32,
}

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Node {
    pub(crate) fn request(control: &Arc<Control>, name: &str, request: &Request) -> Result<Self> {
        let (_, reply, fds) = control.request(request, &[])?;
        let Reply::Node { inner_pid } = reply else {
            bail!("unexpected answer: {reply:?}")
        };
        let holder = fds.into_iter().next().context("the lab sent no pidfd")?;
        let pid = sys::pidfd_pid(holder.as_fd())?.context("the node is gone")?;
        let control = Arc::clone(control);
        Ok(Self {
            control,
            name: name.to_owned(),
            holder: Arc::new(holder),
            pid,
            inner_pid,
        })
    }

    /// Its name, which is also its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pid (outside of the lab) of the process that holds its namespaces, for
    /// `nsenter -t PID -n -m -u -p`.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The same pid as programs inside the lab see it, for `ip link ... netns PID`.
    #[must_use]
    pub fn inner_pid(&self) -> i32 {
        self.inner_pid
    }

    /// Runs a program to its end and returns its stdout.
    ///
    /// # Errors
    /// When it cannot be started, fails, or takes longer than [`RUN_LIMIT`]; with its stderr.
    pub fn run<I, S>(&self, argv: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.run_with_input(argv, "")
    }

    /// Like [`Self::run`], with text on stdin.
    ///
    /// # Errors
    /// Like [`Self::run`].
    pub fn run_with_input<I, S>(&self, argv: I, input: &str) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let command = command(argv)?;
        let output = self.output_with_input(&command, input, RUN_LIMIT)?;
        if !output.status.success() {
            bail!(
                "{} on {}: {}\n{}{}",
                describe(&command),
                self.name,
                output.status,
                output.stdout,
                output.stderr
            );
        }
        Ok(output.stdout)
    }

    /// Runs a program to its end and returns what it left, whatever its exit status.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than `limit`, after which it is killed.
    pub fn output(&self, command: &Command, limit: Duration) -> Result<Output> {
        self.output_with_input(command, "", limit)
    }

    fn output_with_input(&self, command: &Command, input: &str, limit: Duration) -> Result<Output> {
        let mut stdin = memory_file()?;
        stdin.write_all(input.as_bytes())?;
        stdin.rewind()?;
        let (mut stdout, mut stderr) = (memory_file()?, memory_file()?);
        let fds = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let request = Request::Spawn(self.spawn_request(command, true)?);
        let (connection, _, _) = self.control.request(&request, &fds)?;
        if !wire::wait_readable(connection.as_fd(), Some(limit))? {
            // Closing the connection kills the program.
            bail!(
                "{} on {} has not ended after {limit:?}",
                describe(command),
                self.name
            );
        }
        match wire::receive(connection.as_fd())? {
            Some((Reply::Exited { wait_status }, _)) => Ok(Output {
                status: ExitStatus::from_raw(wait_status),
                stdout: contents(&mut stdout)?,
                stderr: contents(&mut stderr)?,
            }),
            _ => bail!("lab {} has ended", self.control.lab()),
        }
    }

    /// Starts a program in the background; stdout and stderr go to files of the lab.
    ///
    /// Program, arguments, environment and working directory (default `/`) of `command` count;
    /// its stdio settings do not, because std does not tell them.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, command: &Command) -> Result<Process> {
        let program = command.get_program().to_string_lossy().into_owned();
        let stem = self.control.log_stem(&self.name, &program);
        let (stdout, stderr) = (
            stem.with_added_extension("out"),
            stem.with_added_extension("err"),
        );
        let create = |path: &Path| {
            File::options()
                .create_new(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("making {}", path.display()))
        };
        let files = (File::open("/dev/null")?, create(&stdout)?, create(&stderr)?);
        let fds = [files.0.as_fd(), files.1.as_fd(), files.2.as_fd()];
        let request = Request::Spawn(self.spawn_request(command, false)?);
        let (connection, _, fds) = self.control.request(&request, &fds)?;
        let pidfd = fds.into_iter().next().context("the lab sent no pidfd")?;
        // A program that has ended already has no pid any more, but its status is on its way.
        let pid = sys::pidfd_pid(pidfd.as_fd())?.unwrap_or(-1);
        Ok(Process {
            pid,
            pidfd,
            connection,
            program,
            stdout,
            stderr,
            ended: None,
        })
    }

    fn spawn_request(&self, command: &Command, kill_on_close: bool) -> Result<Spawn> {
        let mut env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        for (key, value) in command.get_envs() {
            let key = text(key)?;
            match value {
                Some(value) => env.insert(key, text(value)?),
                None => env.remove(&key),
            };
        }
        Ok(Spawn {
            node: self.name.clone(),
            program: text(command.get_program())?,
            args: command.get_args().map(text).collect::<Result<_>>()?,
            env,
            directory: command
                .get_current_dir()
                .map(|dir| text(dir.as_os_str()))
                .transpose()?,
            kill_on_close,
        })
    }

    /// Runs a closure on a new thread inside the node: its sockets are the node's, and paths lead
    /// into the node's file system. Threads that it starts are inside too.
    ///
    /// A socket that the closure returns stays in the node, and keeps the node's network alive
    /// until it is closed. Two things do not work inside: `/proc/self` (the process itself is not
    /// in the lab), and starting programs, which the lab would not end: use [`Self::spawn`].
    ///
    /// # Errors
    /// When the lab has ended, or the closure panicked.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter_this_thread()?;
                Ok(work())
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into the node, for good.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn enter_this_thread(&self) -> Result<()> {
        sys::unshare_fs()?;
        let all = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
        setns(self.holder.as_fd(), all)
            .with_context(|| format!("entering node {} of lab {}", self.name, self.control.lab()))
    }

    /// Moves the whole process into the node and runs a program there with this terminal and in
    /// this directory, if the node has it, to its end. Only for programs that have nothing else to do, such as `patronus-lab exec`.
    ///
    /// # Errors
    /// When this process has several threads, or the program cannot be started.
    pub fn exec(&self, command: &mut Command) -> Result<ExitStatus> {
        let all = CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWPID;
        // Entering another mount namespace leads to its root; most of the file system is there too.
        let here = std::env::current_dir();
        setns(self.holder.as_fd(), all).with_context(|| format!("entering node {}", self.name))?;
        if let Ok(here) = here.as_deref().map(Path::new)
            && here.is_dir()
        {
            command.current_dir(here);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {:?} on {}", command.get_program(), self.name))?;
        // Ctrl-C is for the program, which has the same terminal.
        sys::reset_signal(Signal::SIGINT, SigHandler::SigIgn)?;
        sys::reset_signal(Signal::SIGQUIT, SigHandler::SigIgn)?;
        Ok(child.wait()?)
    }

    /// Where a path of the node is found from outside, for example to connect to a Unix socket.
    /// Leads astray where a component is an absolute symbolic link: write `/run`, not `/var/run`.
    #[must_use]
    pub fn outside_path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        let root = PathBuf::from(format!("/proc/{}/root", self.pid));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Writes a file of the node, and makes the directories above it.
    ///
    /// # Errors
    /// When the path cannot be written.
    pub fn write_file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.outside_path(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))
    }

    /// Reads a file of the node.
    ///
    /// # Errors
    /// When it cannot be read or is not UTF-8.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.outside_path(path);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Sets sysctls of the node's network, for example `("net.ipv4.ip_forward", "1")`. A dot
    /// inside an interface's name is written as a slash, as sysctl(8) does.
    ///
    /// # Errors
    /// When one does not exist or the value is refused.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (key, value) in settings {
                let path: String = key
                    .chars()
                    .map(|c| match c {
                        '.' => '/',
                        '/' => '.',
                        other => other,
                    })
                    .collect();
                fs::write(format!("/proc/sys/{path}"), value)
                    .with_context(|| format!("setting {key} to {value} on {}", self.name))?;
            }
            Ok(())
        })?
    }

    /// Runs a batch of `ip` commands, one per line and without the leading `ip`.
    ///
    /// # Errors
    /// When one fails; with what `ip` says about it.
    pub fn ip(&self, batch: &str) -> Result<()> {
        self.run_with_input(["ip", "-batch", "-"], batch)
            .map(drop)
            .with_context(|| {
                let numbered: Vec<String> = batch
                    .lines()
                    .enumerate()
                    .map(|(i, line)| format!("{}: {line}", i + 1))
                    .collect();
                format!("ip batch on {}:\n{}", self.name, numbered.join("\n"))
            })
    }
}

fn command<I, S>(argv: I) -> Result<Command>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut argv = argv.into_iter();
    let mut command = Command::new(argv.next().context("no program is named")?);
    command.args(argv);
    Ok(command)
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn text(word: &OsStr) -> Result<String> {
    let word = word.to_str().map(str::to_owned);
    word.context("programs, arguments and environment in a lab must be UTF-8")
}

fn memory_file() -> Result<File> {
    Ok(File::from(memfd_create(
        c"lab-output",
        MFdFlags::MFD_CLOEXEC,
    )?))
}

fn contents(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    // The program shares our position in the file, which is at its end.
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
