//! The project's keys: how they are sent, and what they allow.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// The older keys are tokens (JWT) and name the database role; the newer `sb_…` keys are not, and
/// the gateway refuses them as tokens.
///
/// Source: <https://supabase.com/docs/guides/api/api-keys>
pub(super) fn headers(key: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(
        HeaderName::from_static("apikey"),
        HeaderValue::from_str(key).ok()?,
    );
    if key.split('.').count() == 3 {
        let token = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
        headers.insert(AUTHORIZATION, token);
    }
    Some(headers)
}

/// Whether policies decide what the key may do.
pub(super) fn is_anonymous(key: &str) -> bool {
    let role = || {
        let claims = URL_SAFE_NO_PAD.decode(key.split('.').nth(1)?).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
        Some(claims["role"] == "anon")
    };
    key.starts_with("sb_publishable_") || role().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_no_token() {
        let old = headers("eyJh.eyJy.c2ln").unwrap();
        assert_eq!(old[AUTHORIZATION], "Bearer eyJh.eyJy.c2ln");
        assert_eq!(old["apikey"], "eyJh.eyJy.c2ln");
        let new = headers("sb_secret_abc_def").unwrap();
        assert_eq!(new["apikey"], "sb_secret_abc_def");
        assert!(!new.contains_key(AUTHORIZATION));
        assert!(headers("a\nb").is_none());
    }

    #[test]
    fn an_anonymous_key_is_known_by_its_name_or_its_role() {
        let token = |claims: &str| format!("eyJh.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        for (key, expected) in [
            ("sb_publishable_x".to_owned(), true),
            ("sb_secret_x".to_owned(), false),
            (token(r#"{"iss":"supabase","role":"anon"}"#), true),
            (token(r#"{"iss":"supabase","role":"service_role"}"#), false),
            (token("anon"), false),
            ("..".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_anonymous(&key), expected, "{key}");
        }
    }
}
