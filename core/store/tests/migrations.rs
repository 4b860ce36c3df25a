//! How a database gets its tables, and which databases are refused.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

use patronus_store::{Migration, Store, StoreError};
use sqlx::any::AnyPoolOptions;

/// A database in a folder of its own.
async fn new() -> (tempfile::TempDir, String, Store) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/controller.db", folder.path().display());
    let store = Store::open(&url).await.unwrap();
    (folder, url, store)
}

async fn by_hand(url: &str, sql: &'static str) {
    let pool = AnyPoolOptions::new().connect(url).await.unwrap();
    sqlx::query(sql).execute(&pool).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn what_would_be_done_is_told_and_not_done() {
    let (_folder, _, store) = new().await;
    let pending = store.pending().await.unwrap();
    assert_eq!(pending.first().unwrap().name, "intent");
    let Err(StoreError::Older { theirs: 0, .. }) = store.ready().await else {
        panic!("it is empty");
    };
    assert!(store.head().await.is_err(), "there are no tables yet");
    assert_eq!(store.migrate().await.unwrap(), pending);
    assert_eq!(store.pending().await.unwrap(), []);
    assert_eq!(store.migrate().await.unwrap(), []);
    store.ready().await.unwrap();
    assert_eq!(store.head().await.unwrap(), None);
}

/// What was released is at schema 1, and keeps what it has.
#[tokio::test]
async fn a_database_of_the_first_version_gets_what_came_since() {
    let (_folder, url, store) = new().await;
    store.migrate().await.unwrap();
    for sql in [
        "INSERT INTO generation (number, committed_at, author, comment) VALUES (1, 2, 'a', 'b')",
        "DROP TABLE session",
        "DROP TABLE api_token",
        "DROP TABLE account",
        "DROP TABLE signing_key",
        "DROP TABLE audit",
        "DELETE FROM _sqlx_migrations WHERE version = 3",
    ] {
        by_hand(&url, sql).await;
    }
    let names = |steps: Vec<Migration>| -> Vec<String> {
        steps.into_iter().map(|step| step.name).collect()
    };
    assert!(matches!(store.ready().await, Err(StoreError::Older { .. })));
    assert_eq!(names(store.migrate().await.unwrap()), ["access"]);
    store.ready().await.unwrap();
    assert_eq!(store.head().await.unwrap().unwrap().author, "a");
    assert!(store.users().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let (_folder, url, store) = new().await;
    store.migrate().await.unwrap();
    by_hand(
        &url,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'of the future', TRUE, 'x', 0)",
    )
    .await;
    for refused in [
        store.pending().await.map(drop),
        store.migrate().await.map(drop),
        store.ready().await,
    ] {
        let Err(StoreError::Newer { theirs: 999, .. }) = refused else {
            panic!("{refused:?}");
        };
    }
}

#[tokio::test]
async fn a_database_with_other_tables_under_our_names_is_refused() {
    let (_folder, url, store) = new().await;
    store.migrate().await.unwrap();
    by_hand(
        &url,
        "UPDATE _sqlx_migrations SET checksum = 'other' WHERE version = 1",
    )
    .await;
    let refused = store.migrate().await;
    assert!(
        matches!(refused, Err(StoreError::Altered { version: 1 })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_is_no_database_is_refused_without_its_password() {
    for url in [
        "mysql://root:secret@host/db",
        "controller.db",
        "",
        "sqlite://x?mode=ro",
    ] {
        let refused = Store::open(url).await.unwrap_err();
        assert!(matches!(refused, StoreError::Url { .. }), "{refused}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    let away = Store::open("postgres://nobody:secret@127.0.0.1:1/none").await;
    assert!(!away.unwrap_err().to_string().contains("secret"));
    let missing = Store::open("sqlite:///nowhere/at/all/controller.db").await;
    assert!(matches!(missing, Err(StoreError::Database(_))));
}
