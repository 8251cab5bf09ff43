//! What SQLite's failures mean for us.

use std::path::Path;

use crate::error::{CallError, ErrorKind, Service};
use crate::memory::refused::Refused;

/// Why a file cannot be opened, in words that help.
pub(super) fn open_advice(path: &str, error: &sqlx::Error) -> (ErrorKind, String) {
    let call_error = call_error("memory.migrate", error);
    let is_there = Path::new(path).exists();
    let why = match (primary_code(error), call_error.cause) {
        (Some(14), _) if !is_there => "its folder cannot be written".to_owned(),
        (_, Some(cause)) => cause.to_string(),
        (_, None) => call_error.kind.to_string(),
    };
    (call_error.kind, why)
}

/// Whether somebody else has the file.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6))
}

/// SQLite's result code without its extension.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Never with the database's own words: they may quote the row.
///
/// Source: <https://sqlite.org/rescode.html>
pub(super) fn call_error(operation: &'static str, error: &sqlx::Error) -> CallError {
    let new = |kind| CallError::new(Service::Sqlite, operation, kind);
    let Some(code) = primary_code(error) else {
        return match error {
            sqlx::Error::PoolTimedOut => new(ErrorKind::Saturated),
            sqlx::Error::PoolClosed => {
                new(ErrorKind::Unavailable).because("the database was closed")
            }
            sqlx::Error::Io(error) => new(ErrorKind::Unavailable).because(error.to_string()),
            _ => new(ErrorKind::Malformed),
        };
    };
    let text = code.to_string();
    let (kind, refused) = match code {
        5 | 6 => (
            ErrorKind::Timeout,
            Refused::new(&text, "another process is writing to the file"),
        ),
        8 | 3 | 14 | 23 => (
            ErrorKind::Rejected,
            Refused::new(
                &text,
                "the file cannot be opened or written: check its permissions",
            ),
        ),
        10 => (
            ErrorKind::Unavailable,
            Refused::new(&text, "the disk failed"),
        ),
        13 => (
            ErrorKind::Unavailable,
            Refused::new(&text, "the disk is full"),
        ),
        11 | 26 => (
            ErrorKind::Rejected,
            Refused::new(
                &text,
                "the file is damaged or no SQLite database: move it away",
            ),
        ),
        18..=20 => (
            ErrorKind::Rejected,
            Refused::row(&text, "the database does not take this row"),
        ),
        1 | 17 => (
            ErrorKind::SchemaMissing,
            Refused::new(&text, "the table is not as this version needs it"),
        ),
        _ => (ErrorKind::Rejected, Refused::new(&text, "")),
    };
    new(kind).because(refused)
}
