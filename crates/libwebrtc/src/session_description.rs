//! An offer or an answer: SDP text and what it is.

use std::{fmt, str::FromStr};

use crate::engine::sdp::Sdp;

/// What a description is for. *Works.*
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SdpType {
    /// Proposes a session.
    Offer,
    /// A provisional answer. Applied like an answer.
    PrAnswer,
    /// Accepts an offer.
    Answer,
    /// Takes back an offer that was not answered yet.
    Rollback,
}

impl FromStr for SdpType {
    type Err = &'static str;

    fn from_str(sdp_type: &str) -> Result<Self, Self::Err> {
        Ok(match sdp_type {
            "offer" => Self::Offer,
            "pranswer" => Self::PrAnswer,
            "answer" => Self::Answer,
            "rollback" => Self::Rollback,
            _ => return Err("invalid SdpType"),
        })
    }
}

impl fmt::Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::PrAnswer => "pranswer",
            Self::Answer => "answer",
            Self::Rollback => "rollback",
        })
    }
}

/// A line of SDP that could not be read, and why. *Works.*
#[derive(Clone, thiserror::Error, Debug)]
#[error("Failed to parse sdp: {line} - {description}")]
pub struct SdpParseError {
    /// The line.
    pub line: String,
    /// What is wrong with it.
    pub description: String,
}

/// SDP text with its type. *Works.*
#[derive(Clone)]
pub struct SessionDescription {
    pub(crate) sdp: String,
    pub(crate) sdp_type: SdpType,
}

impl SessionDescription {
    /// Takes SDP text, keeping it as it is. *Works.*
    ///
    /// # Errors
    /// Text that is not SDP. A rollback has no text and takes any.
    pub fn parse(sdp: &str, sdp_type: SdpType) -> Result<Self, SdpParseError> {
        if sdp_type != SdpType::Rollback {
            Sdp::parse(sdp).map_err(|error| SdpParseError {
                line: sdp
                    .lines()
                    .nth(error.line.saturating_sub(1))
                    .unwrap_or("")
                    .to_owned(),
                description: error.to_string(),
            })?;
        }
        Ok(Self {
            sdp: sdp.to_owned(),
            sdp_type,
        })
    }

    /// What the description is for. *Works.*
    pub fn sdp_type(&self) -> SdpType {
        self.sdp_type
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sdp)
    }
}

impl fmt::Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDescription")
            .field("sdp_type", &self.sdp_type)
            .finish()
    }
}
