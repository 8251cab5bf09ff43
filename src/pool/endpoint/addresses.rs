//! Where the services of one stage are: its own, and those that take over while it is in trouble.

use super::config::is_same_host;
use super::{Config, Endpoint, EndpointError};
use crate::redact::Pii;

/// The addresses of a stage as its settings have them, in the order of preference. What is empty is
/// the stage's own, and where the stage sets none that of `[openai]`.
pub(crate) struct Addresses<'a> {
    own: Address<'a>,
    fallbacks: Vec<Address<'a>>,
}

/// The settings `base_url` and `api_key`.
type Address<'a> = (&'a str, &'a Pii<String>);

impl<'a> Addresses<'a> {
    pub(crate) fn new(own: Address<'a>, fallbacks: impl Iterator<Item = Address<'a>>) -> Self {
        Self {
            own,
            fallbacks: fallbacks.collect(),
        }
    }

    /// Every invalid value, as `key: what is wrong and what is allowed`; `stage` is the section.
    pub(crate) fn problems(&self, stage: &str) -> Vec<String> {
        let fallbacks = self.fallbacks.iter().enumerate();
        let fallbacks = fallbacks.map(|(place, address)| (fallback_key(stage, place), *address));
        let all = std::iter::once((stage.to_owned(), self.own)).chain(fallbacks);
        let problems = all.filter_map(|(key, (base_url, api_key))| {
            let endpoint = Endpoint::for_stage(&Config::default(), base_url, api_key);
            Some(format!("{key}.{}", endpoint.err()?))
        });
        problems.collect()
    }

    /// The whole settings of each, made of its own and of `shared`. Each key stays with its host.
    ///
    /// # Errors
    /// When one of the addresses is none.
    pub(crate) fn at(&self, shared: &Config) -> Result<Vec<Config>, EndpointError> {
        let (base_url, api_key) = self.own;
        let own = shared.at(base_url, api_key)?;
        let mut all = vec![own.clone()];
        for (base_url, api_key) in &self.fallbacks {
            let is_elsewhere = !base_url.is_empty() && !is_same_host(base_url, &own.base_url)?;
            let origin = if is_elsewhere { shared } else { &own };
            all.push(origin.at(base_url, api_key)?);
        }
        Ok(all)
    }
}

/// The key of a place in a stage's list of fallbacks, for [`crate::config`]'s mistakes.
pub(crate) fn fallback_key(stage: &str, place: usize) -> String {
    format!("{stage}.fallback[{place}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_gets_the_key_of_its_own_host_and_no_other() {
        let key = |key: &str| Pii::new(key.to_owned());
        let shared = Config {
            base_url: "https://api.openai.com".to_owned(),
            api_key: key("sk-shared"),
            ..Config::default()
        };
        let (stage, third, none) = (key("sk-stage"), key("sk-3"), Pii::default());
        let (base_urls, keys): (Vec<_>, Vec<_>) = [
            (("", &none), "sk-stage"),
            (("http://stage:1/v2", &none), "sk-stage"),
            (("https://api.openai.com/v1", &none), "sk-shared"),
            (("http://stage:2/v1", &none), ""),
            (("http://third:1", &none), ""),
            (("http://third:1", &third), "sk-3"),
        ]
        .into_iter()
        .unzip();
        let addresses = Addresses::new(("http://stage:1/v1", &stage), base_urls.into_iter());
        let all = addresses.at(&shared).unwrap();
        let found: Vec<_> = all.iter().map(|it| it.api_key.expose().as_str()).collect();
        assert_eq!(found[0], "sk-stage");
        assert_eq!(found[1..], keys);
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        let none = Pii::default();
        let fallbacks = ["", "localhost", "http://fine"].map(|base_url| (base_url, &none));
        let addresses = Addresses::new(("ftp://host", &none), fallbacks.into_iter());
        assert_eq!(
            addresses.problems("stt"),
            [
                "stt.base_url: must start with http:// or https://",
                "stt.fallback[1].base_url: not a URL; write it like http://127.0.0.1:8080/v1",
            ]
        );
    }
}
