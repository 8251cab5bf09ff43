//! Names of cached values.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Names a value by everything it depends on: `greeting:v1:` and a hash. The hash is what keeps
/// names, instructions and callers' words out of keys, which many people can list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey(Arc<str>);

impl CacheKey {
    /// A key in `namespace`, such as `greeting:v1`: what kind of value it is and in which version
    /// of its encoding. `parts` are what the value depends on; their order and limits matter.
    pub fn new<'a>(
        namespace: &'static str,
        parts: impl IntoIterator<Item = &'a (impl AsRef<[u8]> + ?Sized + 'a)>,
    ) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            let part = part.as_ref();
            // The length keeps ("ab", "c") apart from ("a", "bc").
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut key = format!("{namespace}:");
        for byte in hash.finalize() {
            write!(key, "{byte:02x}").expect("a string takes everything");
        }
        Self(key.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_everything_apart_and_shows_nothing() {
        let keys = [
            CacheKey::new("a:v1", ["secret", "b"]),
            CacheKey::new("a:v1", ["secre", "tb"]),
            CacheKey::new("a:v1", ["secretb"]),
            CacheKey::new("a:v1", ["b", "secret"]),
            CacheKey::new("a:v2", ["secret", "b"]),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        for key in &keys {
            assert!(!key.as_str().contains("secret"), "{key:?}");
            assert_eq!(key.as_str().len(), "a:v1:".len() + 64);
        }
        assert_eq!(keys[0], CacheKey::new("a:v1", ["secret", "b"]));
    }
}
