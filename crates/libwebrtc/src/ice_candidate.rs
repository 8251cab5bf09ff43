//! A transport address that one peer offers to the other.

use std::fmt;

use crate::session_description::SdpParseError;

/// One ICE candidate as it travels through signaling. *Works.*
#[derive(Clone)]
pub struct IceCandidate {
    pub(crate) sdp_mid: String,
    pub(crate) sdp_mline_index: i32,
    pub(crate) candidate: String,
}

impl IceCandidate {
    /// Takes a candidate line as the peer sent it. *Works*, and never fails.
    ///
    /// `livekit` unwraps the result, so a line that this engine cannot use (a name instead of an address, an unknown
    /// transport) is accepted here and dropped, with a log line, by
    /// [`PeerConnection::add_ice_candidate`](crate::peer_connection::PeerConnection::add_ice_candidate).
    pub fn parse(
        sdp_mid: &str,
        sdp_mline_index: i32,
        sdp: &str,
    ) -> Result<IceCandidate, SdpParseError> {
        Ok(Self {
            sdp_mid: sdp_mid.to_owned(),
            sdp_mline_index,
            candidate: sdp.to_owned(),
        })
    }

    /// The `mid` of the section that the candidate belongs to. *Works.*
    pub fn sdp_mid(&self) -> String {
        self.sdp_mid.clone()
    }

    /// The place of that section in the description, from 0. *Works.*
    pub fn sdp_mline_index(&self) -> i32 {
        self.sdp_mline_index
    }

    /// The line without `a=`: `candidate:… typ …`. *Works.*
    pub fn candidate(&self) -> String {
        self.candidate.clone()
    }
}

impl fmt::Display for IceCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.candidate)
    }
}

impl fmt::Debug for IceCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCandidate")
            .field("candidate", &self.candidate)
            .finish()
    }
}
