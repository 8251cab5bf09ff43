//! What a failure means for what waits: whether it is tried again.

use crate::error::{CallError, ErrorKind};
use crate::memory::refused::Refused;

/// The model does not answer at the moment, whatever it is asked.
pub(super) struct Away;

/// Whether a failure of the model is one that has nothing to do with what it was asked. An answer
/// that cannot be read may have.
pub(super) fn is_away(kind: ErrorKind) -> bool {
    kind.is_overload() || matches!(kind, ErrorKind::CircuitOpen | ErrorKind::Saturated)
}

/// Whether the same row may be taken later: the store is away, or refuses everybody until somebody
/// has mended its password or its tables.
pub(super) fn may_pass(error: &CallError) -> bool {
    match error.kind {
        ErrorKind::CircuitOpen
        | ErrorKind::Saturated
        | ErrorKind::Unauthorized
        | ErrorKind::SchemaMissing => true,
        ErrorKind::Rejected => Refused::is_databases_fault(error),
        kind => kind.is_retryable(),
    }
}
