//! A real PostgreSQL server for one test binary: in a folder of its own, without a port, and gone with
//! this process, however it ends.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Ends the server, and removes its folder `$0`, when it is told to. `$2` says whether a commit waits
/// for the disk.
const KEEPER: &str = r#"
"$1/postgres" -D "$0/data" -k "$0" -h "" -c fsync="$2" -c full_page_writes="$2" \
    -c shared_memory_type=mmap -c dynamic_shared_memory_type=mmap >"$0/log" 2>&1 &
pid=$!
trap 'kill -QUIT $pid; wait $pid; rm -rf "$0"; exit' TERM
wait $pid
"#;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The URL of a database that nobody has used. For all but measurements, nothing in there is worth the
/// time that it takes to get it onto a disk: the first who asks says whether it is.
pub(crate) fn new_database(durable: bool) -> String {
    let folder = FOLDER.get_or_init(|| start(durable));
    let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let created = psql(folder, &format!("CREATE DATABASE {name}"));
    assert!(created, "PostgreSQL makes no database");
    let host = folder.display().to_string().replace('/', "%2F");
    format!("postgres://postgres@{host}/{name}")
}

fn start(durable: bool) -> PathBuf {
    let programs = programs();
    let folder = tempfile::Builder::new()
        .prefix("patronus-postgres-")
        .tempdir()
        .unwrap()
        .keep();
    let data = folder.join("data");
    // PostgreSQL refuses to run as root.
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut as_user = Vec::new();
    if root {
        let (user, group) = account("postgres");
        chown(&folder, Some(user), Some(group)).unwrap();
        as_user = vec![
            format!("--reuid={user}"),
            format!("--regid={group}"),
            "--clear-groups".to_owned(),
        ];
    }
    let mut initdb = Command::new("setpriv");
    initdb.args(&as_user).arg(programs.join("initdb"));
    initdb.args([
        "--no-sync",
        "--auth=trust",
        "--username=postgres",
        "--encoding=UTF8",
        "-D",
    ]);
    let made = initdb.arg(&data).stdout(Stdio::null()).status().unwrap();
    assert!(made.success(), "initdb failed");
    keep(&folder, &programs, as_user, durable);
    let began = Instant::now();
    while !psql(&folder, "SELECT 1") {
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(began.elapsed() < Duration::from_secs(30), "{}", log());
        thread::sleep(Duration::from_millis(50));
    }
    folder
}

/// Starts the server from a thread that lives as long as this process: the signal at a parent's death
/// is sent when the thread ends that started the child.
fn keep(folder: &Path, programs: &Path, as_user: Vec<String>, durable: bool) {
    let mut keeper = Command::new("setpriv");
    keeper
        .args(as_user)
        .args(["--pdeathsig=TERM", "sh", "-c", KEEPER]);
    let fsync = if durable { "on" } else { "off" };
    keeper.arg(folder).arg(programs).arg(fsync).current_dir("/");
    let (started, is_started) = mpsc::channel();
    thread::spawn(move || {
        let child = keeper.spawn();
        started.send(child.is_ok()).unwrap();
        loop {
            thread::park();
        }
    });
    assert!(is_started.recv().unwrap(), "PostgreSQL cannot be started");
}

fn psql(folder: &Path, sql: &str) -> bool {
    let mut psql = Command::new("psql");
    psql.args([
        "-X", "-q", "-U", "postgres", "-d", "postgres", "-c", sql, "-h",
    ]);
    let output = psql.arg(folder).output();
    output.unwrap().status.success()
}

/// Where Debian has the programs of a server, which are not in the PATH.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.map(|version| version.unwrap().path().join("bin"));
    let mut folders: Vec<PathBuf> = folders.filter(|it| it.join("initdb").exists()).collect();
    folders.sort();
    folders
        .pop()
        .expect("no PostgreSQL server is installed: run `make setup`")
}

/// The numbers of a user and its group.
fn account(name: &str) -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let account = accounts
        .lines()
        .map(fields)
        .find(|fields| fields[0] == name);
    let account = account.expect("the package of PostgreSQL makes this user");
    (account[2].parse().unwrap(), account[3].parse().unwrap())
}
