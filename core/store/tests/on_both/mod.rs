//! The same test on SQLite and on PostgreSQL.

/// Runs a test on a new, empty database of each kind.
macro_rules! on_both {
    ($($(#[$doc:meta])* async fn $name:ident($store:ident: Store) $body:block)+) => { $(
        mod $name {
            use super::*;

            async fn test($store: Store) $body

            #[tokio::test]
            async fn sqlite() {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}/controller.db", folder.path().display());
                let store = Store::open(&url).await.unwrap();
                assert_eq!(store.backend(), patronus_store::Backend::Sqlite);
                store.migrate().await.unwrap();
                test(store.clone()).await;
                store.close().await;
            }

            #[tokio::test]
            async fn postgres() {
                let url = crate::postgres::new_database(false);
                let store = Store::open(&url).await.unwrap();
                assert_eq!(store.backend(), patronus_store::Backend::Postgres);
                store.migrate().await.unwrap();
                test(store.clone()).await;
                store.close().await;
            }
        }
    )+ };
}

pub(crate) use on_both;
