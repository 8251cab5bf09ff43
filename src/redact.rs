//! A wrapper that keeps personal or secret values out of logs and error texts.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that formats as `[redacted]`; reading it takes a visible call.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pii<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<T: Default + PartialEq> Serialize for Pii<T> {
    /// Writes `[redacted]`, or an empty text for a value that is not set, so that a printed
    /// configuration shows which secrets are missing. Reading it back does not restore the value.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_set = self.0 != T::default();
        serializer.serialize_str(if is_set { "[redacted]" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_but_never_written() {
        let secret: Pii<String> = serde_json::from_str("\"sk-123\"").unwrap();
        assert_eq!(secret.expose(), "sk-123");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[redacted]\"");
        assert_eq!(format!("{secret:?} {secret}"), "[redacted] [redacted]");
    }

    #[test]
    fn a_missing_secret_shows_as_missing() {
        assert_eq!(
            serde_json::to_string(&Pii::<String>::default()).unwrap(),
            "\"\""
        );
    }
}
