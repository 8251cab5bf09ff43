//! Settings of who is remembered (`[memory.identities]`).

use serde::{Deserialize, Serialize};

use super::pattern::{CHARS_MAX, Pattern};

/// Most patterns of a list: each join compares an identity with all of them.
const PATTERNS_MAX: usize = 64;

/// Which identities are remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Patterns of identities that are remembered; empty for none.
    pub include: Vec<String>,
    /// Patterns of identities that are not, whatever `include` says.
    pub exclude: Vec<String>,
    /// Whether identities are remembered that starter templates give to many callers.
    pub starter_templates: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            include: vec!["*".to_owned()],
            exclude: Vec::new(),
            starter_templates: false,
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let lists = [("include", &self.include), ("exclude", &self.exclude)];
        let wrong = lists.into_iter().filter(|(_, patterns)| {
            patterns.len() > PATTERNS_MAX || patterns.iter().any(|it| Pattern::new(it).is_none())
        });
        let wrong = wrong.map(|(name, _)| {
            format!(
                "memory.identities.{name}: must be up to {PATTERNS_MAX} patterns of 1 to \
                 {CHARS_MAX} characters, where * stands for any text and ? for one character"
            )
        });
        wrong.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_patterns_have_an_end() {
        let with = |include: Vec<String>| Config {
            include,
            ..Config::default()
        };
        assert!(
            with(vec!["*".to_owned(); PATTERNS_MAX])
                .problems()
                .is_empty()
        );
        assert!(with(Vec::new()).problems().is_empty());
        for include in [
            vec!["*".to_owned(); PATTERNS_MAX + 1],
            vec![String::new()],
            vec!["x".repeat(CHARS_MAX + 1)],
        ] {
            let problems = with(include).problems().concat();
            assert!(
                problems.starts_with("memory.identities.include: "),
                "{problems}"
            );
        }
    }
}
