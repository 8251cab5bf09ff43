//! What can be cached: anything that can be written as bytes and read again, so that both tiers
//! hold the same.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value with an encoding. Another encoding of the same type needs another key namespace.
pub trait CacheValue: Sized {
    /// Writes the value.
    fn to_bytes(&self) -> Bytes;

    /// Reads what [`CacheValue::to_bytes`] wrote; `None` for anything else, which is then a miss.
    fn from_bytes(bytes: Bytes) -> Option<Self>;
}

impl CacheValue for Bytes {
    fn to_bytes(&self) -> Bytes {
        self.clone()
    }

    fn from_bytes(bytes: Bytes) -> Option<Self> {
        Some(bytes)
    }
}

impl CacheValue for String {
    fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }

    fn from_bytes(bytes: Bytes) -> Option<Self> {
        Self::from_utf8(bytes.into()).ok()
    }
}

/// Any value that serde knows, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> CacheValue for Json<T> {
    fn to_bytes(&self) -> Bytes {
        // What JSON cannot say is written as nothing, which reads as a miss.
        serde_json::to_vec(&self.0).unwrap_or_default().into()
    }

    fn from_bytes(bytes: Bytes) -> Option<Self> {
        serde_json::from_slice(&bytes).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_they_were_written_and_garbage_reads_as_nothing() {
        let numbers = Json(vec![1, 2, 3]);
        assert_eq!(Json::from_bytes(numbers.to_bytes()), Some(numbers));
        assert_eq!(Json::<Vec<i32>>::from_bytes(Bytes::from("[1,")), None);
        let text = "grüße".to_owned();
        assert_eq!(String::from_bytes(text.to_bytes()), Some(text));
        assert_eq!(String::from_bytes(Bytes::from_static(&[0xff])), None);
    }
}
