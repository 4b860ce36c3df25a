//! What the engine costs: nothing but memory and CPU is involved, so this runs anywhere.
//!
//! A router in memory with N paths (four to each site) and five classes has settled; then single
//! inputs are timed, from the call to the moment at which all effects lie ready. Each value is the
//! median of many.
//!
//! - *tick*: [`Input::Tick`] when the health of every path and each class of every site are looked
//!   at, after every path has been measured anew, as once a second in production.
//! - *down*: BFD says that the path is down which carries all classes of a site; all move.
//! - *site*: something is said about one path which changes nothing; its site is decided anew.
//! - *reconcile*: the kernel has been observed with 10,000 learned prefixes in it; what should be
//!   there is compared with it, and nothing is to be done.
//! - *learn*: one more prefix is learned beside 10,000; whose each is and what should be there is
//!   worked out, and a plan is made.
//! - *change of one neighbour prefix*: a router in the LAN announces one more beside 10,000, and the
//!   sites have 10,000 as well; the same.

mod router;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use patronus_engine::{Effect, Input};
use patronus_model::path::Liveness;

use crate::report::{Destination, Machine, Report, Row, Target, progress};
use crate::samples::{Samples, micros, millis};
use router::{CLASSES, Router};

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How often each input is timed.
    #[arg(long, default_value_t = 100)]
    pub rounds: usize,
    #[command(flatten)]
    destination: Destination,
}

/// The numbers of paths for which a tick is timed.
const PATHS: [usize; 3] = [10, 1000, 8000];
/// The number for everything else, and what the target is about.
const MANY: usize = 1000;
/// What a decision over [`MANY`] paths may take.
const TICK_LIMIT_MS: f64 = 1.0;
const PREFIXES: usize = 10_000;
/// What comparing with the kernel may take: a failover that comes meanwhile waits for it.
const RECONCILE_LIMIT_MS: f64 = 10.0;
/// What news of a neighbour outside the overlay may take: a failover waits for that, too, but LANs
/// change more rarely.
const NEIGHBOR_LIMIT_MS: f64 = 50.0;
/// One site is decided within microseconds: so many at once are more than the clock's resolution.
const AT_ONCE: u32 = 100;

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When the report cannot be written, or the engine does something else than was to be measured.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    let mut results = Vec::new();
    for paths in PATHS {
        progress(format!("ticks over {paths} paths"));
        let value = ticks(paths, arguments.rounds)?.p50();
        let row = Row::new(format!("engine_tick_ms_{paths}_paths"), value, "ms");
        results.push(match paths {
            MANY => row.target(Target::AtMost(TICK_LIMIT_MS)),
            _ => row,
        });
    }
    progress("single sites, and prefixes");
    let us = |name: &str, samples: &Samples| {
        Row::new(
            format!("engine_{name}_us_{MANY}_paths"),
            samples.p50(),
            "µs",
        )
    };
    results.push(us("down", &downs(arguments.rounds)?));
    results.push(us("site", &sites(arguments.rounds)?));
    let rounds = arguments.rounds.min(20);
    for (name, samples) in [
        ("reconcile", reconciliations(rounds)?),
        ("learn", lessons(rounds)?),
    ] {
        let name = format!("engine_{name}_ms_10k_prefixes");
        let limit = Target::AtMost(RECONCILE_LIMIT_MS);
        results.push(Row::new(name, samples.p50(), "ms").target(limit));
    }
    let name = "engine_change_of_one_neighbor_prefix_ms_10k";
    let value = neighbors(rounds)?.p50();
    results.push(Row::new(name, value, "ms").target(Target::AtMost(NEIGHBOR_LIMIT_MS)));
    Report { machine, results }.publish(&arguments.destination, "engine")
}

/// How long one input takes, and the comparison of desired and observed state that follows from
/// it. Returns what the engine wants done first, too, whatever it has to tell before that.
fn time_to_effect(router: &mut Router, input: Input) -> (Duration, Option<Effect>) {
    let now = router.now;
    let start = Instant::now();
    router.engine.handle(now, input);
    let mut effect = router.engine.poll_effect();
    while matches!(effect, Some(Effect::Report(_))) {
        effect = router.engine.poll_effect();
    }
    (start.elapsed(), effect)
}

/// How long one input takes.
fn time(router: &mut Router, input: Input) -> Duration {
    let now = router.now;
    let start = Instant::now();
    router.engine.handle(now, input);
    start.elapsed()
}

fn ticks(paths: usize, rounds: usize) -> Result<Samples> {
    let mut router = Router::settled(paths, 0)?;
    let tick = |round| {
        // Before the tick is due, or the first of these inputs would be it.
        router.measure(round);
        router.next_tick()?;
        let took = time(&mut router, Input::Tick);
        ensure!(router.carry_out() == 0, "a tick moved traffic");
        Ok(millis(took))
    };
    (0..rounds).map(tick).collect()
}

fn downs(rounds: usize) -> Result<Samples> {
    let mut router = Router::settled(MANY, 0)?;
    // Each site once: what has fallen stays down.
    let paths: Vec<_> = router.chosen_paths().into_iter().take(rounds).collect();
    let down = |path| {
        let took = time(&mut router, Input::Liveness(path, Liveness::Silent));
        let moved = router.carry_out();
        ensure!(moved > 0, "nothing left {path} when it went down");
        Ok(micros(took))
    };
    paths.into_iter().map(down).collect()
}

fn sites(rounds: usize) -> Result<Samples> {
    let mut router = Router::settled(MANY, 0)?;
    let paths = router.chosen_paths();
    let decide = |path| {
        let start = Instant::now();
        for _ in 0..AT_ONCE {
            let news = Input::Liveness(path, Liveness::Up);
            router.engine.handle(router.now, news);
        }
        let took = start.elapsed() / AT_ONCE;
        ensure!(router.carry_out() == 0, "no news moved traffic");
        Ok(micros(took))
    };
    paths.into_iter().cycle().take(rounds).map(decide).collect()
}

fn reconciliations(rounds: usize) -> Result<Samples> {
    let mut router = Router::settled(MANY, PREFIXES)?;
    let routes = router.kernel.routes.len();
    ensure!(
        routes >= PREFIXES * CLASSES,
        "only {routes} routes are there"
    );
    let reconcile = |_| {
        router.engine.handle(router.now, Input::Touched);
        let asked = router.engine.poll_effect();
        ensure!(asked == Some(Effect::Observe), "{asked:?}");
        let state = Box::new(router.kernel.clone());
        let (took, asked) = time_to_effect(&mut router, Input::Observed(state));
        ensure!(asked.is_none(), "something is to be done");
        Ok(millis(took))
    };
    (0..rounds).map(reconcile).collect()
}

fn neighbors(rounds: usize) -> Result<Samples> {
    let mut router = Router::settled(MANY, PREFIXES)?;
    router.hear_neighbor(PREFIXES)?;
    let before = router.kernel.routes.len();
    ensure!(
        before >= PREFIXES * (CLASSES + 1),
        "only {before} routes are there"
    );
    let change = |round: usize| {
        let news = router.surroundings(PREFIXES + round + 1)?;
        let (took, asked) = time_to_effect(&mut router, Input::Environment(news));
        let Some(effect @ Effect::Apply(_)) = asked else {
            bail!("{asked:?} instead of a plan");
        };
        router.perform(effect);
        router.carry_out();
        Ok(millis(took))
    };
    let samples = (0..rounds).map(change).collect::<Result<Samples>>()?;
    let more = router.kernel.routes.len() - before;
    ensure!(more == rounds, "{more} routes for {rounds} prefixes");
    Ok(samples)
}

fn lessons(rounds: usize) -> Result<Samples> {
    let mut router = Router::settled(MANY, PREFIXES)?;
    let learn = |round| {
        let news = Input::Learned(router.one_more(round)?);
        let (took, asked) = time_to_effect(&mut router, news);
        let Some(effect @ Effect::Apply(_)) = asked else {
            bail!("{asked:?} instead of a plan");
        };
        router.perform(effect);
        router.carry_out();
        Ok(millis(took))
    };
    (0..rounds).map(learn).collect()
}
