//! Why a database refused: its code and what to do about it, and never its words, because those
//! quote the row.

use std::borrow::Cow;
use std::fmt;

use crate::error::{CallError, ErrorKind, Service};

/// The cause of a [`CallError`] of a store.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    code: String,
    advice: Cow<'static, str>,
    is_rows_fault: bool,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code.is_empty() {
            f.write_str(&self.advice)
        } else if self.advice.is_empty() {
            write!(f, "code {}", self.code)
        } else {
            write!(f, "{} (code {})", self.advice, self.code)
        }
    }
}

impl Refused {
    /// A refusal that has nothing to do with a row.
    pub(super) fn new(code: &str, advice: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: short(code),
            advice: advice.into(),
            is_rows_fault: false,
        }
    }

    /// A refusal because of what one row holds: the others may still be saved.
    pub(super) fn row(code: &str, advice: impl Into<Cow<'static, str>>) -> Self {
        Self {
            is_rows_fault: true,
            ..Self::new(code, advice)
        }
    }

    /// The database's own code; empty without one.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Whether the database refused for reasons of its own, which somebody can mend: the same row may
    /// be taken later.
    pub(super) fn is_databases_fault(error: &CallError) -> bool {
        let refused = error
            .cause
            .as_ref()
            .and_then(|it| it.downcast_ref::<Self>());
        refused.is_some_and(|refused| !refused.is_rows_fault)
    }

    /// Whether a statement failed because of what one of its rows holds.
    pub(super) fn is_rows_fault(error: &CallError) -> bool {
        let refused = error
            .cause
            .as_ref()
            .and_then(|it| it.downcast_ref::<Self>());
        refused.is_some_and(|refused| refused.is_rows_fault)
    }
}

/// The same error once more: a statement that fails does so for each of its rows.
pub(super) fn copy(error: &CallError) -> CallError {
    let copy = CallError {
        retry_after: error.retry_after,
        ..CallError::new(error.service, error.operation, error.kind)
    };
    match &error.cause {
        None => copy,
        Some(cause) => match cause.downcast_ref::<Refused>() {
            Some(refused) => copy.because(refused.clone()),
            None => copy.because(cause.to_string()),
        },
    }
}

/// What a SQLSTATE means for us; `schema` says how to get the tables.
///
/// Source: Postgres 15, appendix A.
pub(super) fn from_sqlstate(
    service: Service,
    operation: &'static str,
    state: &str,
    schema: &'static str,
) -> CallError {
    let (kind, refused) = match state {
        "28P01" | "28000" => (
            ErrorKind::Unauthorized,
            Refused::new(state, "the database refused the user or the password"),
        ),
        "42501" => (
            ErrorKind::Unauthorized,
            Refused::new(
                state,
                "the database user has no permission, or a row-level security policy forbids it",
            ),
        ),
        "42P01" | "42P10" | "42703" | "42883" | "3F000" => {
            (ErrorKind::SchemaMissing, Refused::new(state, schema))
        }
        "3D000" => (
            ErrorKind::SchemaMissing,
            Refused::new(state, "there is no such database: create it first"),
        ),
        // Prepared statements that a pooler gave to somebody else.
        "26000" | "42P05" | "08P01" => (
            ErrorKind::Rejected,
            Refused::new(
                state,
                "there seems to be a transaction pooler before the database: set \
                 memory.postgres.pooler = true",
            ),
        ),
        "53300" => (
            ErrorKind::Unavailable,
            Refused::new(state, "the database has no connection left"),
        ),
        "25006" => (
            ErrorKind::Unavailable,
            Refused::new(
                state,
                "the database is read-only, as a standby or a full one is",
            ),
        ),
        "57014" | "55P03" => (
            ErrorKind::Timeout,
            Refused::new(state, "the database ended the statement: it took too long"),
        ),
        // Deadlocks and failed serialization: the same statement succeeds when tried again.
        "40001" | "40P01" => (ErrorKind::Unavailable, Refused::new(state, "")),
        _ => match state.get(..2).unwrap_or_default() {
            "22" | "23" | "54" => (
                ErrorKind::Rejected,
                Refused::row(state, "the database does not take this row"),
            ),
            "08" | "53" | "57" | "58" | "XX" => (ErrorKind::Unavailable, Refused::new(state, "")),
            _ => (ErrorKind::Rejected, Refused::new(state, "")),
        },
    };
    CallError::new(service, operation, kind).because(refused)
}

/// Keeps a code that looks like one.
fn short(code: &str) -> String {
    let is_plain = code.len() <= 16 && code.chars().all(|c| c.is_ascii_alphanumeric());
    if is_plain {
        code.to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(state: &str) -> CallError {
        from_sqlstate(
            Service::Postgres,
            "memory.save",
            state,
            "run the migrations",
        )
    }

    #[test]
    fn a_state_decides_the_kind() {
        for (state, kind) in [
            ("28P01", ErrorKind::Unauthorized),
            ("42501", ErrorKind::Unauthorized),
            ("42P01", ErrorKind::SchemaMissing),
            ("3D000", ErrorKind::SchemaMissing),
            ("53300", ErrorKind::Unavailable),
            ("57P01", ErrorKind::Unavailable),
            ("57P03", ErrorKind::Unavailable),
            ("57014", ErrorKind::Timeout),
            ("40P01", ErrorKind::Unavailable),
            ("08006", ErrorKind::Unavailable),
            ("22021", ErrorKind::Rejected),
            ("99999", ErrorKind::Rejected),
            ("", ErrorKind::Rejected),
            ("é", ErrorKind::Rejected),
        ] {
            assert_eq!(error(state).kind, kind, "{state}");
        }
    }

    #[test]
    fn only_what_a_row_holds_makes_a_batch_be_split() {
        for (state, is_rows_fault) in [
            ("22021", true),
            ("23514", true),
            ("54000", true),
            ("42P01", false),
            ("57P01", false),
            ("53300", false),
        ] {
            assert_eq!(
                Refused::is_rows_fault(&error(state)),
                is_rows_fault,
                "{state}"
            );
            assert_eq!(Refused::is_rows_fault(&copy(&error(state))), is_rows_fault);
            assert_eq!(Refused::is_databases_fault(&error(state)), !is_rows_fault);
        }
    }

    #[test]
    fn the_text_says_what_to_do_and_the_code() {
        let text = error("42P01").cause.unwrap().to_string();
        assert_eq!(text, "run the migrations (code 42P01)");
        let text = error("my name is John").cause.unwrap().to_string();
        assert!(!text.contains("John"), "{text}");
    }
}
