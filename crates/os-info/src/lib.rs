//! In place of the crate `os_info`, which LiveKit's client asks for the system's name each time it joins
//! a room. That one runs `lsb_release` and `getconf` and waits for them: 15 to 30 ms of each call, on a
//! thread that all calls share. This one reads `/etc/os-release`, once.
//!
//! Source of the API: `os_info` 3.15, as far as `livekit-signaling` 0.1 uses it.

use std::sync::OnceLock;

/// Where systems say what they are. Source: os-release(5).
const FILE: &str = "/etc/os-release";

/// Name and version of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    name: String,
    version: String,
}

/// This system's, as it was when this was first asked.
pub fn get() -> Info {
    static INFO: OnceLock<Info> = OnceLock::new();
    let read = || Info::parse(&std::fs::read_to_string(FILE).unwrap_or_default());
    INFO.get_or_init(read).clone()
}

impl Info {
    /// Reads lines of `KEY=value`; what is not said is the kernel's name, and `Unknown`.
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            let value = line.strip_prefix('=')?.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        Self {
            name: value("NAME").unwrap_or_else(|| std::env::consts::OS.to_owned()),
            version: value("VERSION_ID").unwrap_or_else(|| "Unknown".to_owned()),
        }
    }

    /// The system's name.
    pub fn os_type(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_are_read_with_or_without_quotes() {
        let text =
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\n";
        let info = Info::parse(text);
        assert_eq!((info.os_type(), info.version()), ("Debian GNU/Linux", "12"));
        let info = Info::parse("NAME=Fedora\nVERSION_ID=41");
        assert_eq!((info.os_type(), info.version()), ("Fedora", "41"));
    }

    #[test]
    fn a_system_that_does_not_say_is_named_after_its_kernel() {
        let info = Info::parse("VERSION_ID=\"\"\nnonsense");
        assert_eq!(
            (info.os_type(), info.version()),
            (std::env::consts::OS, "Unknown")
        );
    }
}
