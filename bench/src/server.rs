//! Which LiveKit server to call, and the right to join its rooms.

use anyhow::{Context, Result};
use livekit_api::access_token::{AccessToken, VideoGrants};

/// The server's address and keys, as flags or in the environment.
#[derive(clap::Args)]
pub struct Server {
    /// The LiveKit server.
    #[arg(long, env = "LIVEKIT_URL", default_value = "ws://127.0.0.1:7880")]
    pub url: String,
    /// API key.
    #[arg(long, env = "LIVEKIT_API_KEY", default_value = "devkey")]
    pub api_key: String,
    /// API secret.
    #[arg(
        long,
        env = "LIVEKIT_API_SECRET",
        default_value = "secret",
        hide_env_values = true
    )]
    pub api_secret: String,
}

impl Server {
    /// A token to join `room` as `identity`.
    ///
    /// # Errors
    /// When the key or secret cannot sign.
    pub fn token(&self, room: &str, identity: &str) -> Result<String> {
        let grants = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            ..Default::default()
        };
        AccessToken::with_api_key(&self.api_key, &self.api_secret)
            .with_identity(identity)
            .with_grants(grants)
            .to_jwt()
            .context("cannot sign a join token: check the API key and secret")
    }
}
