//! The database itself: how it is opened, and how it gets its tables.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migrate as _, MigrateError, MigrationType, Migrator};
use sqlx::{Any, AnyPool, Executor as _, SqlSafeStr as _, Transaction};

use crate::error::StoreError;

/// Tables, in the order in which they came to be. A migration that was released is never changed.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "intent", include_str!("../migrations/0001_intent.sql")),
    (2, "series", include_str!("../migrations/0002_series.sql")),
    (3, "access", include_str!("../migrations/0003_access.sql")),
    (
        4,
        "enrolment",
        include_str!("../migrations/0004_enrolment.sql"),
    ),
];

/// How long a transaction waits for another one's to end, milliseconds.
const BUSY: u32 = 10_000;

/// How long a connection to a database that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file of our own.
    Sqlite,
    /// A server, which several controllers may share.
    Postgres,
}

/// A step from one schema to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The schema that it makes.
    pub version: i64,
    /// What it is about.
    pub name: String,
}

/// What a controller keeps. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: AnyPool,
    backend: Backend,
}

impl Store {
    /// Connects to the database at `sqlite://FILE` or `postgres://...`; a file that is not there is
    /// made. Its schema is not looked at: see [`Store::pending`] and [`Store::migrate`].
    ///
    /// # Errors
    /// [`StoreError::Url`], and whatever keeps the database from answering.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        let (backend, url) = match scheme {
            "sqlite" if rest.contains('?') => {
                return Err(refused(url, "options are not for us to take".to_owned()));
            }
            "sqlite" => (Backend::Sqlite, format!("{url}?mode=rwc")),
            "postgres" | "postgresql" => (Backend::Postgres, url.to_owned()),
            _ => return Err(refused(url, "it begins with neither".to_owned())),
        };
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if backend == Backend::Sqlite {
                        // Commits survive a power cut, and readers do not wait for writers.
                        for pragma in [
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = FULL",
                            "PRAGMA foreign_keys = ON",
                        ] {
                            connection.execute(pragma).await?;
                        }
                        let busy = format!("PRAGMA busy_timeout = {BUSY}");
                        connection.execute(sqlx::AssertSqlSafe(busy)).await?;
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await
            .map_err(|error| match error {
                sqlx::Error::Configuration(reason) => refused(&url, reason.to_string()),
                other => StoreError::Database(other),
            })?;
        Ok(Self { pool, backend })
    }

    /// Which database it is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// The steps that [`Store::migrate`] would make.
    ///
    /// # Errors
    /// [`StoreError::Newer`] and [`StoreError::Altered`], if the database is not one that this
    /// version can use.
    pub async fn pending(&self) -> Result<Vec<Migration>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let migrator = migrator();
        connection
            .ensure_migrations_table(&migrator.table_name)
            .await
            .map_err(migration_error)?;
        let applied = connection
            .list_applied_migrations(&migrator.table_name)
            .await
            .map_err(migration_error)?;
        for one in &applied {
            let ours = migrator.iter().find(|it| it.version == one.version);
            match ours {
                None => {
                    return Err(StoreError::Newer {
                        theirs: one.version,
                        ours: last_version(),
                    });
                }
                Some(ours) if ours.checksum != one.checksum => {
                    return Err(StoreError::Altered {
                        version: one.version,
                    });
                }
                Some(_) => {}
            }
        }
        let done = |version| applied.iter().any(|one| one.version == version);
        let pending = migrator.iter().filter(|it| !done(it.version));
        let step = |it: &sqlx::migrate::Migration| Migration {
            version: it.version,
            name: it.description.to_string(),
        };
        Ok(pending.map(step).collect())
    }

    /// Brings the schema up to date, and says which steps that took.
    ///
    /// # Errors
    /// Like [`Store::pending`]. Each step is made whole or not at all.
    pub async fn migrate(&self) -> Result<Vec<Migration>, StoreError> {
        let pending = self.pending().await?;
        let migrator = migrator();
        migrator.run(&self.pool).await.map_err(migration_error)?;
        Ok(pending)
    }

    /// Says whether the schema is the one that this version needs.
    ///
    /// # Errors
    /// [`StoreError::Older`], and those of [`Store::pending`].
    pub async fn ready(&self) -> Result<(), StoreError> {
        match self.pending().await?.first() {
            None => Ok(()),
            Some(first) => Err(StoreError::Older {
                theirs: first.version - 1,
                ours: last_version(),
            }),
        }
    }

    /// A transaction that writes: of all controllers', one at a time.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.write_after("LOCK TABLE generation IN EXCLUSIVE MODE")
            .await
    }

    /// A transaction that writes series: one at a time. Where there are several locks, it does not
    /// hold the one of those who change the intent.
    pub(crate) async fn write_series(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.write_after("LOCK TABLE series_tier IN EXCLUSIVE MODE")
            .await
    }

    async fn write_after(
        &self,
        lock: &'static str,
    ) -> Result<Transaction<'static, Any>, StoreError> {
        match self.backend {
            Backend::Sqlite => Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?),
            Backend::Postgres => {
                let mut transaction = self.pool.begin().await?;
                transaction.execute(lock).await?;
                Ok(transaction)
            }
        }
    }

    /// A transaction that reads, and sees the database as it is at its first statement.
    pub(crate) async fn snapshot(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let begin = match self.backend {
            Backend::Sqlite => "BEGIN",
            Backend::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.pool.begin_with(begin).await?)
    }

    /// Ends all connections, after what is under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        sqlx::migrate::Migration::new(
            version,
            Cow::Borrowed(name),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator {
        migrations: Cow::Owned(migrations.collect()),
        ..Migrator::DEFAULT
    }
}

fn last_version() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(theirs) => StoreError::Newer {
            theirs,
            ours: last_version(),
        },
        MigrateError::VersionMismatch(version) => StoreError::Altered { version },
        MigrateError::Execute(error) => StoreError::Database(error),
        other => StoreError::Database(sqlx::Error::Migrate(Box::new(other))),
    }
}

/// A URL may hold a password, which nobody should see.
fn refused(url: &str, reason: String) -> StoreError {
    let shown = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    };
    StoreError::Url { url: shown, reason }
}
