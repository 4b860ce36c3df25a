//! The supervisor's loop: one thread which polls its descriptors and never waits for a client.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{SockFlag, accept4};
use nix::unistd::{Pid, dup2_stderr, dup2_stdout, setsid};

use super::node::{self, Holder};
use super::spawn;
use crate::sys;
use crate::wire::{self, Reply, Request};

/// What the supervisor inherits from the monitor.
pub(crate) struct Watched {
    /// Hung up when the monitor is dead.
    pub(crate) monitor: OwnedFd,
    /// Where clients connect.
    pub(crate) control: OwnedFd,
}

/// A client's connection.
struct Client {
    socket: OwnedFd,
    /// The program whose end this client waits for.
    program: Option<Pid>,
    kill_on_close: bool,
}

pub(crate) struct Supervisor {
    watched: Watched,
    signals: SignalFd,
    nodes: Vec<(String, Holder)>,
    clients: HashMap<u64, Client>,
    next_client: u64,
    /// The lab ends when stdin does, until a client detaches it.
    attached: bool,
}

/// What the loop goes on with.
enum Next {
    Go,
    Stop,
}

impl Supervisor {
    /// Turns the forked process into PID 1 of a lab, and reports `ready`.
    pub(crate) fn prepare(watched: Watched, log: &File) -> Result<Self> {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        prctl::set_name(c"lab-supervisor")?;
        setsid()?;
        let own = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS;
        unshare(own).context("making the namespaces of the lab")?;
        make_mounts_private()?;
        mount(
            Some("proc"),
            "/proc",
            Some("proc"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("mounting /proc")?;
        let signals: SigSet = [Signal::SIGCHLD].into_iter().collect();
        SigSet::all().thread_unblock()?;
        signals.thread_block()?;
        let signals =
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        writeln!(std::io::stdout(), "ready")?;
        let null = File::options().write(true).open("/dev/null")?;
        dup2_stdout(&null)?;
        dup2_stderr(log)?;
        Ok(Self {
            watched,
            signals,
            nodes: Vec::new(),
            clients: HashMap::new(),
            next_client: 0,
            attached: true,
        })
    }

    /// Serves until the lab shall end; returns the exit status.
    pub(crate) fn run(mut self) -> i32 {
        loop {
            match self.turn() {
                Ok(Next::Go) => {}
                Ok(Next::Stop) => return 0,
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "supervisor: {error:#}");
                    return 1;
                }
            }
        }
    }

    fn turn(&mut self) -> Result<Next> {
        let ready = self.wait()?;
        if ready.monitor || (ready.creator && self.attached) {
            return Ok(Next::Stop);
        }
        if ready.signals {
            self.reap()?;
        }
        if ready.control {
            self.accept()?;
        }
        for id in ready.clients {
            if let Next::Stop = self.serve(id) {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Go)
    }

    fn wait(&self) -> Result<Ready> {
        let stdin = std::io::stdin();
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let ids: Vec<u64> = self.clients.keys().copied().collect();
        let mut fds = vec![
            readable(self.watched.monitor.as_fd()),
            readable(self.watched.control.as_fd()),
            readable(self.signals.as_fd()),
        ];
        fds.extend(
            self.clients
                .values()
                .map(|client| readable(client.socket.as_fd())),
        );
        if self.attached {
            fds.push(readable(stdin.as_fd()));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut flags = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let mut next = || flags.next().unwrap_or(false);
        let (monitor, control, signals) = (next(), next(), next());
        let clients = ids.into_iter().filter(|_| next()).collect();
        Ok(Ready {
            monitor,
            control,
            signals,
            clients,
            creator: next(),
        })
    }

    /// Collects every process of the lab that has ended, and tells the clients which wait.
    fn reap(&mut self) -> Result<()> {
        while self.signals.read_signal()?.is_some() {}
        loop {
            let status = match sys::wait_any() {
                Ok(Some(ended)) => ended,
                Ok(None) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let (pid, wait_status) = status;
            for client in self.clients.values_mut() {
                if client.program.map(Pid::as_raw) == Some(pid) {
                    client.program = None;
                    // A client which has gone away is noticed by the poll.
                    let reply = Reply::Exited { wait_status };
                    let _ = wire::send(client.socket.as_fd(), &reply, &[]);
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        let control = std::os::fd::AsRawFd::as_raw_fd(&self.watched.control);
        match accept4(control, SockFlag::SOCK_CLOEXEC) {
            Ok(fd) => {
                let socket = sys::adopt_received(vec![fd])
                    .pop()
                    .context("no connection")?;
                let client = Client {
                    socket,
                    program: None,
                    kill_on_close: false,
                };
                self.clients.insert(self.next_client, client);
                self.next_client += 1;
                Ok(())
            }
            Err(Errno::EINTR | Errno::ECONNABORTED) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn serve(&mut self, id: u64) -> Next {
        let Some(client) = self.clients.get(&id) else {
            return Next::Go;
        };
        let (request, fds) = match wire::receive::<Request>(client.socket.as_fd()) {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.closed(id);
                return Next::Go;
            }
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "supervisor: {error:#}");
                self.closed(id);
                return Next::Go;
            }
        };
        let stop = matches!(request, Request::Shutdown);
        if let Err(error) = self.answer(id, request, &fds) {
            self.reply(id, &Reply::Failed(format!("{error:#}")), &[]);
        }
        if stop { Next::Stop } else { Next::Go }
    }

    fn closed(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        if let (Some(pid), true) = (client.program, client.kill_on_close) {
            // Its process group: the program was made the leader of one.
            let _ = nix::sys::signal::killpg(pid, Signal::SIGKILL);
        }
    }

    fn answer(&mut self, id: u64, request: Request, fds: &[OwnedFd]) -> Result<()> {
        match request {
            Request::AddNode { name } => {
                if self.nodes.iter().any(|(other, _)| *other == name) {
                    bail!("there is already a node named {name:?}");
                }
                let holder = node::create(&name)?;
                self.nodes.push((name.clone(), holder));
                self.reply_node(id, &name)
            }
            Request::Node { name } => self.reply_node(id, &name),
            Request::Nodes => {
                let names = self.nodes.iter().map(|(name, _)| name.clone()).collect();
                self.reply(id, &Reply::Nodes(names), &[]);
                Ok(())
            }
            Request::Spawn(request) => {
                let started = spawn::start(&request, self.holder(&request.node)?, fds)?;
                if let Some(client) = self.clients.get_mut(&id) {
                    client.program = Some(started.pid);
                    client.kill_on_close = request.kill_on_close;
                }
                self.reply(id, &Reply::Started, &[started.pidfd.as_fd()]);
                Ok(())
            }
            Request::Detach => {
                self.attached = false;
                self.reply(id, &Reply::Ok, &[]);
                Ok(())
            }
            Request::Shutdown => {
                self.reply(id, &Reply::Ok, &[]);
                Ok(())
            }
        }
    }

    fn holder(&self, name: &str) -> Result<&Holder> {
        let found = self.nodes.iter().find(|(other, _)| other == name);
        found.map(|(_, holder)| holder).with_context(|| {
            let names: Vec<&str> = self.nodes.iter().map(|(name, _)| name.as_str()).collect();
            format!(
                "there is no node {name:?} in this lab; it has: {}",
                names.join(", ")
            )
        })
    }

    fn reply_node(&self, id: u64, name: &str) -> Result<()> {
        let holder = self.holder(name)?;
        let reply = Reply::Node {
            inner_pid: holder.pid.as_raw(),
        };
        self.reply(id, &reply, &[holder.pidfd.as_fd()]);
        Ok(())
    }

    fn reply(&self, id: u64, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        if let Some(client) = self.clients.get(&id) {
            // A client which has gone away is noticed by the poll.
            let _ = wire::send(client.socket.as_fd(), reply, fds);
        }
    }
}

/// Which descriptors have something to say.
struct Ready {
    monitor: bool,
    control: bool,
    signals: bool,
    clients: Vec<u64>,
    creator: bool,
}

/// Nothing mounted here shows outside, and nothing mounted outside shows here.
pub(super) fn make_mounts_private() -> Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("making mounts private")
}
