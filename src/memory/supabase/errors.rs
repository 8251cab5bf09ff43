//! What the data API's refusals mean for us.

use crate::error::{CallError, ErrorKind, Service};
use crate::memory::refused::{Refused, from_sqlstate};
use crate::pool::Refusal;

const SCHEMA_ADVICE: &str = "the project lacks voxpool's table or functions of this \
     version: run config/supabase.sql in its SQL editor";

const KEY_ADVICE: &str = "the key is not one of this project, or has expired: see \
     SUPABASE_SERVICE_ROLE_KEY";

const PERMISSION_ADVICE: &str = "the key may not use the table: use the service role key \
     (SUPABASE_SERVICE_ROLE_KEY), or policies as config/supabase.sql describes them";

const CONNECTION_ADVICE: &str = "the data API cannot reach its database";

const POOL_ADVICE: &str = "the data API has no database connection left: give it more (its pool \
     size), or wait for fewer statements at a time";

/// The same failure with what to do about it. Never with the API's own words: they quote the row.
///
/// Source: PostgREST 12, "Errors"
pub(super) fn explained(operation: &'static str, error: CallError) -> CallError {
    let cause = error.cause.as_ref();
    let Some(refusal) = cause.and_then(|cause| cause.downcast_ref::<Refusal>()) else {
        return error;
    };
    let (status, code) = (refusal.status.as_u16(), refusal.code.as_str());
    let new = |kind, refused| CallError::new(Service::Supabase, operation, kind).because(refused);
    let explained = match code {
        "PGRST000" | "PGRST001" | "PGRST002" => new(
            ErrorKind::Unavailable,
            Refused::new(code, CONNECTION_ADVICE),
        ),
        "PGRST003" => new(ErrorKind::Timeout, Refused::new(code, POOL_ADVICE)),
        "PGRST106" | "PGRST202" | "PGRST203" | "PGRST204" | "PGRST205" => {
            new(ErrorKind::SchemaMissing, Refused::new(code, SCHEMA_ADVICE))
        }
        "PGRST300" | "PGRST301" | "PGRST302" | "PGRST303" => {
            new(ErrorKind::Unauthorized, Refused::new(code, KEY_ADVICE))
        }
        "42501" => new(
            ErrorKind::Unauthorized,
            Refused::new(code, PERMISSION_ADVICE),
        ),
        _ if is_sqlstate(code) => from_sqlstate(Service::Supabase, operation, code, SCHEMA_ADVICE),
        "" if matches!(status, 401 | 403) => {
            new(ErrorKind::Unauthorized, Refused::new("", KEY_ADVICE))
        }
        // What PostgREST says when its connection to the database ends under a request.
        "" if status == 400 => new(
            ErrorKind::Unavailable,
            Refused::new("", "the data API lost its database"),
        ),
        "" if status == 404 => new(
            ErrorKind::Rejected,
            Refused::new("", "no data API answers at SUPABASE_URL"),
        ),
        _ if status == 413 => new(
            ErrorKind::Rejected,
            Refused::row("413", "the request is too large for the gateway"),
        ),
        _ => return error,
    };
    CallError {
        retry_after: error.retry_after,
        ..explained
    }
}

fn is_sqlstate(code: &str) -> bool {
    code.len() == 5
        && code
            .chars()
            .all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
}
