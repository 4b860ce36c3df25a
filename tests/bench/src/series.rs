//! What series of paths cost in SQLite, and in PostgreSQL beside it. Both wait for the disk at every
//! commit.
//!
//! - *day*: the points of 1,000 directions of paths, every ten seconds for a day, compressed in time.
//!   An insert is all points of ten seconds; in between, all that is to be packed, rolled up and
//!   forgotten is. The share of ten seconds that all of it takes is what a controller spends.
//! - *commit*: how long somebody waits who commits a change of the intent, while points are taken and
//!   packed nearly as fast as it goes, which is some hundred times as often as in life.
//! - *year*: the same of fewer paths, but with points every hour for a year, every five minutes for
//!   the last 30 days and every ten seconds for the last day, so that all that is ever kept of a
//!   path is there; then questions about one of them. What is asked is in memory by then, and filling
//!   the database does not wait for the disk.

mod network;
#[expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the server of the tests: without it there is nothing to be measured"
)]
#[path = "../../../core/store/tests/postgres/mod.rs"]
mod postgres;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use patronus_model::intent::{Allocations, Kind, ObjectId};
use patronus_model::series::{Point, Range, Retention};
use patronus_store::{Backend, Draft, Edit, Millis, SeriesId, Store, StoreError, Tended};

use crate::report::{Destination, Machine, Report, Row, Target, progress};
use crate::samples::{Samples, millis};
use network::{Chance, STEP, direction, longer_point};

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How many directions of paths there are.
    #[arg(long, default_value_t = PATHS, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub paths: u32,
    /// For how many hours they are measured.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub hours: u32,
    /// How many of them are measured for a year.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub year_paths: u32,
    #[command(flatten)]
    destination: Destination,
}

/// What taking and keeping 1,000 points may take of the ten seconds in which they come: a twentieth.
const WORK_LIMIT_MS: f64 = 500.0;
/// What somebody who commits a change may wait for us, beside what a commit takes anyway.
const COMMIT_LIMIT_MS: f64 = 50.0;

/// How long is waited between one thing that is to be done with points and the next while somebody
/// commits.
const PAUSE: Duration = Duration::from_millis(20);

/// How many directions of paths are spoken of.
const PATHS: u32 = 1000;

/// A file system without a disk.
const MEMORY: &str = "/dev/shm";

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
/// When it begins: midnight of some day.
const START: Millis = 20_000 * DAY;

/// Values of one database, in the order in which they are told.
type Values = Vec<Value>;

/// A metric, its value and unit, and what it should be.
type Value = (String, f64, &'static str, Option<Target>);

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When a database or the report cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ours = runtime.block_on(measure(arguments, Backend::Sqlite))?;
    let theirs = runtime.block_on(measure(arguments, Backend::Postgres))?;
    let rows = ours.into_iter().zip(theirs);
    let row = |((metric, value, unit, target), theirs): (Value, Value)| {
        let row = Row::new(metric, value, unit).beside("PostgreSQL", theirs.1);
        match target {
            Some(target) => row.target(target),
            None => row,
        }
    };
    let results = rows.map(row).collect();
    Report { machine, results }.publish(&arguments.destination, "series")
}

async fn measure(arguments: &Arguments, backend: Backend) -> Result<Values> {
    let mut values = Values::new();
    let database = Database::new(backend, true).await?;
    progress(format!(
        "{backend:?}: {} hours of {} paths",
        arguments.hours, arguments.paths
    ));
    let day = Simulated::new(&database.store, arguments.paths).await?;
    day.run(arguments.hours, &database, &mut values).await?;
    progress(format!("{backend:?}: commits meanwhile"));
    day.commits(arguments.hours, &mut values).await?;
    database.store.close().await;
    let database = Database::new(backend, false).await?;
    progress(format!(
        "{backend:?}: a year of {} paths",
        arguments.year_paths
    ));
    let year = Simulated::new(&database.store, arguments.year_paths).await?;
    let empty = database.size()?;
    year.year(&database, &mut values).await?;
    // What is on its way is written then.
    database.store.close().await;
    let each = (database.size()? - empty) / f64::from(arguments.year_paths);
    let full = each * f64::from(PATHS);
    values.push(("series_full_mb_1000_paths".to_owned(), full, "MB", None));
    Ok(values)
}

/// A database that is gone afterwards, but for PostgreSQL's, which goes with its server.
struct Database {
    store: Store,
    url: String,
    folder: tempfile::TempDir,
}

impl Database {
    /// A new one, which waits for the disk or not.
    async fn new(backend: Backend, durable: bool) -> Result<Self> {
        let folder = match durable {
            true => tempfile::tempdir()?,
            false => tempfile::tempdir_in(MEMORY)?,
        };
        let url = match backend {
            Backend::Sqlite => format!("sqlite://{}/series.db", folder.path().display()),
            Backend::Postgres => postgres::new_database(true),
        };
        if let (Backend::Postgres, false, Some((_, name))) =
            (backend, durable, url.rsplit_once('/'))
        {
            psql(
                &url,
                &format!("ALTER DATABASE {name} SET synchronous_commit = off"),
            )?;
        }
        let store = Store::open(&url).await?;
        store.migrate().await?;
        Ok(Self { store, url, folder })
    }

    /// PostgreSQL does this once a minute, which is too seldom where a day takes seconds.
    fn clean(&self) -> Result<()> {
        match self.store.backend() {
            Backend::Sqlite => Ok(()),
            Backend::Postgres => psql(&self.url, "VACUUM").map(drop),
        }
    }

    /// What it takes of the disk, megabytes.
    fn size(&self) -> Result<f64> {
        let bytes = match self.store.backend() {
            Backend::Sqlite => {
                let files = fs::read_dir(self.folder.path())?;
                let size = |file: std::io::Result<fs::DirEntry>| Ok(file?.metadata()?.len());
                files.map(size).sum::<Result<u64>>()?
            }
            Backend::Postgres => {
                psql(&self.url, "SELECT pg_database_size(current_database())")?.parse()?
            }
        };
        Ok(bytes as f64 / 1e6)
    }
}

/// What PostgreSQL says to a statement.
fn psql(url: &str, sql: &str) -> Result<String> {
    let output = Command::new("psql").args([url, "-XAtc", sql]).output();
    let output = output.context("psql")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "PostgreSQL says: {said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Paths that are measured.
struct Simulated<'a> {
    store: &'a Store,
    retention: Retention,
    series: Vec<SeriesId>,
}

/// How long things took.
struct Took {
    chance: Chance,
    /// Between one thing that is to be done and the next.
    pause: Duration,
    insert: Vec<f64>,
    tend: Vec<f64>,
}

impl Took {
    const fn nothing(pause: Duration) -> Self {
        Self {
            chance: Chance::new(),
            pause,
            insert: Vec::new(),
            tend: Vec::new(),
        }
    }
}

impl<'a> Simulated<'a> {
    async fn new(store: &'a Store, paths: u32) -> Result<Self> {
        let paths = usize::try_from(paths)?;
        let directions = (0..paths).map(direction).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            store,
            retention: Retention::default(),
            series: store.series_of(&directions, START).await?,
        })
    }

    /// All paths are measured for some time, and what is to be done then is done.
    async fn step(&self, at: Millis, time: Millis, took: &mut Took) -> Result<()> {
        let mut points: Vec<(SeriesId, Point)> = Vec::new();
        for (path, series) in (0..).zip(&self.series) {
            let point = longer_point(&mut took.chance, path, at, time)?;
            points.push((*series, point));
        }
        let now = at + STEP;
        let start = Instant::now();
        let added = self.store.add_points(&self.retention, now, &points).await?;
        took.insert.push(millis(start.elapsed()));
        ensure!(added.taken == points.len() as u64, "{added:?}");
        loop {
            let start = Instant::now();
            let done = self.store.tend_series(&self.retention, now).await?;
            took.tend.push(millis(start.elapsed()));
            if done == Tended::Nothing {
                return Ok(());
            }
            if !took.pause.is_zero() {
                tokio::time::sleep(took.pause).await;
            }
        }
    }

    /// Some hours.
    async fn run(&self, hours: u32, database: &Database, values: &mut Values) -> Result<()> {
        let empty = database.size()?;
        let mut took = Took::nothing(Duration::ZERO);
        let steps = i64::from(hours) * HOUR / STEP;
        for step in 0..steps {
            self.step(START + step * STEP, STEP, &mut took).await?;
            if step * STEP % (6 * HOUR) == 0 {
                database.clean()?;
            }
        }
        let work: f64 = took.insert.iter().chain(&took.tend).sum();
        let (insert, tend): (Samples, Samples) = (
            took.insert.into_iter().collect(),
            took.tend.into_iter().collect(),
        );
        let mut say = |name: &str, value, unit, target| {
            values.push((format!("series_{name}"), value, unit, target));
        };
        let limit = Some(Target::AtMost(WORK_LIMIT_MS));
        say("work_ms_per_10_s", work / steps as f64, "ms", limit);
        say("insert_ms_p50", insert.p50(), "ms", None);
        say("insert_ms_p99", insert.p99(), "ms", None);
        say("tend_ms_p99", tend.p99(), "ms", None);
        say("tend_ms_max", tend.max(), "ms", None);
        say("day_mb", database.size()? - empty, "MB", None);
        Ok(())
    }

    /// How long a change of the intent takes alone, and how long while points are taken.
    async fn commits(&self, hours: u32, values: &mut Values) -> Result<()> {
        let mut alone = Vec::new();
        let store = self.store.clone();
        for _ in 0..100 {
            alone.push(commit(&store).await?);
        }
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let committing = tokio::spawn(async move {
            let mut beside = Vec::new();
            while stopped.try_recv().is_err() {
                beside.push(commit(&store).await?);
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
            Ok::<_, StoreError>(beside)
        });
        let mut took = Took::nothing(PAUSE);
        let first = START + i64::from(hours) * HOUR;
        for step in 0..HOUR / STEP {
            self.step(first + step * STEP, STEP, &mut took).await?;
        }
        // Whoever commits may have ended with an error, which is said then.
        let _ = stop.send(());
        let beside: Samples = committing.await??.into_iter().collect();
        let alone: Samples = alone.into_iter().collect();
        progress(format!("{} commits", beside.count()));
        let mut say = |name: &str, value, target| {
            values.push((format!("series_commit_ms_{name}"), value, "ms", target));
        };
        say("p50_alone", alone.p50(), None);
        say("p99_alone", alone.p99(), None);
        say("p50", beside.p50(), None);
        say("p99", beside.p99(), Some(Target::AtMost(COMMIT_LIMIT_MS)));
        say("max", beside.max(), None);
        Ok(())
    }

    /// All that is ever kept, and questions about it.
    async fn year(&self, database: &Database, values: &mut Values) -> Result<()> {
        let mut took = Took::nothing(Duration::ZERO);
        let end = START + 365 * DAY;
        let mut at = START;
        while at < end {
            let time = match end - at {
                left if left > 30 * DAY => HOUR,
                left if left > DAY => 300_000,
                _ => STEP,
            };
            self.step(at, time, &mut took).await?;
            at += time;
            if at % DAY == 0 {
                database.clean()?;
            }
        }
        let number = self.series.len() / 2;
        let one = self.series.get(number).copied();
        let one = one.context("no paths")?;
        for (name, span) in [
            ("hour", HOUR),
            ("day", DAY),
            ("month", 30 * DAY),
            ("year", 365 * DAY),
        ] {
            let range = Range::new(end - span, end, 1_000)?;
            let mut samples = Vec::new();
            for _ in 0..50 {
                let start = Instant::now();
                let answer = self.store.points(&self.retention, &[one], &range).await?;
                samples.push(millis(start.elapsed()));
                let points = answer.series.first().map_or(0, |(_, points)| points.len());
                let least = usize::try_from(span / answer.step)?.saturating_sub(1);
                ensure!(points >= least, "{points} points of a {name}, not {least}");
            }
            let samples: Samples = samples.into_iter().collect();
            values.push((format!("series_query_ms_{name}"), samples.p50(), "ms", None));
        }
        let (tiers, paths) = (self.retention.tiers(), self.series.len() as f64);
        let found = self.store.series_size(&self.retention).await?;
        for (tier, found) in tiers.iter().zip(found) {
            let kb = found.bytes as f64 / 1e3 / paths;
            let seconds = tier.step.millis() / 1_000;
            values.push((format!("series_path_kb_{seconds}_s"), kb, "kB", None));
        }
        Ok(())
    }
}

/// Commits a change of one object, and says how long it took.
async fn commit(store: &Store) -> Result<f64, StoreError> {
    let number = store.head().await?.map_or(0, |head| head.number);
    let draft = Draft {
        author: "bench".to_owned(),
        comment: String::new(),
        at: number,
        reverts_to: None,
        confirm_by: None,
        checked_against: number,
    };
    let edit = Edit {
        id: ObjectId::new(Kind::Class, &format!("class-{number}")),
        base: None,
        text: Some("kind: class\n".repeat(10)),
    };
    let start = Instant::now();
    store
        .commit(&draft, &[edit], &Allocations::default())
        .await?;
    Ok(millis(start.elapsed()))
}
