//! The thread that looks at the kernel and changes it. Everything there blocks.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use patronus_engine::Input;
use patronus_linux::{Error, Kernel, Places};
use patronus_model::kernel::Plan;
use patronus_model::layout::KernelLayout;
use tokio::sync::mpsc;
use tracing::warn;

/// What the thread is asked to do.
pub enum Job {
    /// Look, and answer with [`Input::Observed`].
    Observe,
    /// Carry out, and answer with [`Input::Applied`].
    Apply(Plan),
    /// Announce the overlay's addresses again.
    Announce,
}

/// How often everything of ours is looked at, whatever happens. Nobody tells when somebody else
/// changes the peers of a tunnel.
const LOOK_AT_ALL_EVERY: Duration = Duration::from_secs(60);

/// How often kernel parameters are looked at, while there is nothing else to do. Nobody tells when
/// they change, and a package that is installed may set them all anew.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Starts the thread. Returns where to put jobs, and the port that names its requests.
///
/// # Errors
/// The kernel's interfaces cannot be opened.
pub fn start(
    layout: KernelLayout,
    places: Places,
    inputs: mpsc::Sender<Input>,
) -> Result<(Sender<Job>, u32), Error> {
    let kernel = Kernel::open(layout, places)?;
    let port = kernel.port();
    let (jobs, inbox) = channel();
    std::thread::Builder::new()
        .name("patronus-kernel".to_owned())
        .spawn(move || run(kernel, &inbox, &inputs))
        .map_err(|source| Error::Io {
            doing: "starting a thread".to_owned(),
            source,
        })?;
    Ok((jobs, port))
}

fn run(mut kernel: Kernel, inbox: &Receiver<Job>, inputs: &mpsc::Sender<Input>) {
    let mut parameters = kernel.parameters();
    let mut looked = Instant::now();
    loop {
        let job = match inbox.recv_timeout(LOOK_EVERY) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let input = match job {
            Some(Job::Observe) => {
                looked = Instant::now();
                observe(&mut kernel)
            }
            Some(Job::Apply(plan)) => {
                let outcome = kernel.apply(&plan);
                parameters = kernel.parameters();
                Input::Applied(outcome)
            }
            None => {
                let now = kernel.parameters();
                if now == parameters && looked.elapsed() < LOOK_AT_ALL_EVERY {
                    continue;
                }
                parameters = now;
                looked = Instant::now();
                Input::Touched
            }
            Some(Job::Announce) => {
                if let Err(error) = kernel.announce_overlay() {
                    warn!(
                        error = error.report(),
                        "cannot announce the overlay's addresses"
                    );
                }
                continue;
            }
        };
        if inputs.blocking_send(input).is_err() {
            return;
        }
    }
}

/// Looks until it succeeds: an engine that waits for an answer does nothing else.
fn observe(kernel: &mut Kernel) -> Input {
    loop {
        match kernel.observe() {
            Ok(state) => return Input::Observed(Box::new(state)),
            Err(error) => {
                warn!(
                    error = error.report(),
                    "cannot look at the kernel; trying again"
                );
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}
