//! Why something could not be kept.

use std::fmt;

use patronus_access::{UserId, UserName};
use patronus_model::intent::ObjectId;

/// Why something could not be read or written. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL of the database is none that we know.
    #[error(
        "{url:?} is not the URL of a database: {reason}; use sqlite:///var/lib/patronus/controller.db \
         or postgres://user@host/database"
    )]
    Url {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database was written by a later version.
    #[error(
        "the database has schema {theirs}, and this version knows schemas up to {ours}: it was \
         written by a later version of Patronus, which must be used with it"
    )]
    Newer {
        /// What the database has.
        theirs: i64,
        /// The last one that we know.
        ours: i64,
    },
    /// A migration that was applied is not the one that we have.
    #[error(
        "schema {version} of the database is not the one of this version: it was altered, or made \
         by a version that was never released"
    )]
    Altered {
        /// Which one.
        version: i64,
    },
    /// The database must be migrated first.
    #[error("the database has schema {theirs}, and {ours} is needed: migrate it first")]
    Older {
        /// What the database has; 0 if nothing.
        theirs: i64,
        /// What is needed.
        ours: i64,
    },
    /// Somebody else changed what was to be changed.
    #[error("{}", list(.0))]
    Conflicts(Vec<Conflict>),
    /// The intent is not the one any more that the change was checked against.
    #[error("generation {now} was committed meanwhile, so the change must be checked again")]
    Moved {
        /// The generation that is current.
        now: i64,
    },
    /// A commit waits for its confirmation, and nothing else can be committed meanwhile.
    #[error(
        "generation {generation} by {author} waits to be confirmed: confirm it or roll it back first"
    )]
    Unconfirmed {
        /// Which one.
        generation: i64,
        /// Who committed it.
        author: String,
    },
    /// There is no such generation.
    #[error("there is no generation {0}")]
    NoGeneration(i64),
    /// There is another user of that name.
    #[error("there is a user {0} already")]
    UserExists(UserName),
    /// There is no such user, or the user may not log in.
    #[error("there is no user with the id {0}, or not one who may log in")]
    NoUser(UserId),
    /// The password that was checked is not the user's any more.
    #[error("the password was changed meanwhile: log in again")]
    PasswordChanged,
    /// Nobody would be left who could undo it.
    #[error(
        "this is the last admin who can log in, and there has to be one: make another user an \
         admin first"
    )]
    LastAdmin,
    /// It cannot be written down.
    #[error("the audit log cannot hold {what}")]
    Unwritable {
        /// What it is.
        what: &'static str,
    },
    /// What the database holds cannot be: a bug, or somebody's hand.
    #[error("the database holds {what}, which cannot be")]
    Corrupt {
        /// What it holds.
        what: String,
    },
    /// The database cannot be reached, or refuses.
    #[error("the database says: {0}")]
    Database(#[from] sqlx::Error),
}

/// An object that somebody else changed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The object.
    pub object: ObjectId,
    /// The generation in which it was changed.
    pub changed_in: i64,
    /// Who changed it.
    pub author: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object,
            changed_in,
            author,
        } = self;
        write!(
            f,
            "{object} was changed by {author} in generation {changed_in}"
        )
    }
}

/// What the database holds as text, as what it is.
pub(crate) fn parsed<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt {
        what: format!("the {what} {text:?}"),
    })
}

fn list(conflicts: &[Conflict]) -> String {
    let words: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
    format!(
        "{}: look at it, and make the change again",
        words.join(", ")
    )
}
