//! What can go wrong, with the codes that clients tell it apart by.

use std::time::Duration;

use async_graphql::{Error, ErrorExtensions, Response, ServerError};

/// Why a field has no value. Clients find [`Failure::code`] in `extensions.code`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The daemon has no picture of the router yet.
    #[error("patronusd is starting. Try again in a moment")]
    Starting,
    /// An argument is not what it should be.
    #[error("{argument} {value:?}: {problem}")]
    BadInput {
        /// Which.
        argument: &'static str,
        /// What was given.
        value: String,
        /// What is wrong, and what would be valid.
        problem: String,
    },
    /// There is no such thing.
    #[error("there is no {what} {id:?}; there is: {known}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// The one asked for.
        id: String,
        /// Those that there are.
        known: String,
    },
    /// The daemon is shutting down.
    #[error("patronusd is stopping")]
    Stopping,
    /// The daemon dropped the question.
    #[error("patronusd did not answer. Its log says why")]
    NoAnswer,
    /// The daemon took too long.
    #[error("patronusd did not answer within {} s. Is the machine overloaded?", .0.as_secs())]
    Late(Duration),
}

impl Failure {
    /// A word for programs. Part of the API: it never changes.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::BadInput { .. } => "BAD_INPUT",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::Starting | Self::Stopping | Self::NoAnswer | Self::Late(_) => "UNAVAILABLE",
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(
            Error::new(failure.to_string()).extend_with(|_, extensions| {
                extensions.set("code", failure.code());
                if let Failure::BadInput { argument, .. } = &failure {
                    extensions.set("argument", *argument);
                }
            }),
        )
    }
}

/// A [`Failure`] on its way through GraphQL, which would otherwise turn anything that can be
/// displayed into an error without a code.
pub(crate) struct Refusal(Error);

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.0
    }
}

/// The code of a query that is not valid by the schema or exceeds the limits.
pub(crate) const INVALID_QUERY: &str = "INVALID_QUERY";

/// Gives a code to the errors that GraphQL found by itself.
pub(crate) fn with_codes(mut response: Response) -> Response {
    for error in &mut response.errors {
        add_code(error);
    }
    response
}

fn add_code(error: &mut ServerError) {
    // An error with a path comes from reading the arguments of that field.
    let code = if error.path.is_empty() {
        INVALID_QUERY
    } else {
        "BAD_INPUT"
    };
    let extensions = error.extensions.get_or_insert_with(Default::default);
    if extensions.get("code").is_none() {
        extensions.set("code", code);
    }
}
