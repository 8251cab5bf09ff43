//! Access tokens: to register as a worker, and to join a room that nobody dispatched us to.

use std::time::Duration;

use livekit_api::access_token::{AccessToken, AccessTokenError, TokenVerifier, VideoGrants};

use super::config::ServerConfig;
use super::proto::room_for;
use crate::redact::Pii;

/// As long as LiveKit's own join tokens for agents; they are used at once.
///
/// Source: livekit/protocol `agent/token.go` `BuildAgentToken`.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// The key or secret cannot sign a token.
#[derive(Debug, thiserror::Error)]
#[error("LIVEKIT_API_KEY and LIVEKIT_API_SECRET cannot sign a token")]
pub struct TokenError(#[from] AccessTokenError);

/// The bearer token of a worker's connection.
pub(super) fn worker_token(server: &ServerConfig) -> Result<Pii<String>, TokenError> {
    let grants = VideoGrants {
        agent: true,
        ..VideoGrants::default()
    };
    sign(signer(server).with_grants(grants))
}

/// A token to join `room` as an agent, like the one the server mints for a dispatched job.
pub(super) fn join_token(
    server: &ServerConfig,
    room: &str,
    identity: &str,
    agent_name: &str,
) -> Result<Pii<String>, TokenError> {
    let grants = VideoGrants {
        room_join: true,
        agent: true,
        room: room.to_owned(),
        can_update_own_metadata: Some(true),
        ..VideoGrants::default()
    };
    let token = signer(server)
        .with_identity(identity)
        .with_kind("agent")
        .with_attributes([
            ("lk.agent.name", agent_name),
            ("lk.agent_name", agent_name),
            ("lk.agent.state", "initializing"),
        ])
        .with_grants(grants);
    sign(token)
}

/// A token for a person to join `room`, which is made for them and `agent_name`; with an empty name
/// the agents come that come to every room. It can be used to join for `ttl`.
///
/// # Errors
/// When key and secret cannot sign a token.
pub fn guest_token(
    server: &ServerConfig,
    room: &str,
    identity: &str,
    agent_name: &str,
    ttl: Duration,
) -> Result<Pii<String>, TokenError> {
    let grants = VideoGrants {
        room_join: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    };
    let token = signer(server)
        .with_ttl(ttl)
        .with_identity(identity)
        .with_grants(grants);
    sign(match agent_name {
        "" => token,
        name => token.with_room_config(room_for(name)),
    })
}

/// The token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is missing, expired or not signed with this worker's LIVEKIT_API_KEY")]
pub struct Unauthenticated;

/// Somebody with a token of this server's, who may dispatch agents to the room that the token
/// grants `roomAdmin` of.
///
/// Source of the rule: livekit-server 1.13.5, `pkg/service/auth.go` `EnsureAdminPermission`.
#[derive(Clone, Debug)]
pub struct Administrator {
    /// `None` without the grant.
    room: Option<String>,
}

impl Administrator {
    /// The holder of `token`.
    ///
    /// # Errors
    /// When it is none that the worker's key has signed, or no longer valid.
    pub fn of(server: &ServerConfig, token: &str) -> Result<Self, Unauthenticated> {
        let verifier = TokenVerifier::with_api_key(&server.api_key, server.api_secret.expose());
        let claims = verifier.verify(token).map_err(|_| Unauthenticated)?;
        let (is_admin, room) = (claims.video.room_admin, claims.video.room);
        Ok(Self {
            room: (is_admin && !room.is_empty()).then_some(room),
        })
    }

    /// Whether they may dispatch agents to `room`.
    pub fn is_of(&self, room: &str) -> bool {
        self.room.as_deref() == Some(room)
    }
}

fn signer(server: &ServerConfig) -> AccessToken {
    AccessToken::with_api_key(&server.api_key, server.api_secret.expose()).with_ttl(TOKEN_TTL)
}

fn sign(token: AccessToken) -> Result<Pii<String>, TokenError> {
    Ok(Pii::new(token.to_jwt()?))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn server() -> ServerConfig {
        ServerConfig {
            api_key: "devkey".to_owned(),
            api_secret: Pii::new("secret".to_owned()),
            ..ServerConfig::default()
        }
    }

    #[test]
    fn a_worker_may_be_an_agent_and_nothing_else() {
        let token = worker_token(&server()).unwrap();
        let claims = TokenVerifier::with_api_key("devkey", "secret")
            .verify(token.expose())
            .unwrap();
        assert!(claims.video.agent);
        assert!(!claims.video.room_join && !claims.video.room_admin && !claims.video.room_create);
    }

    #[test]
    fn a_join_token_makes_an_agent_of_the_room() {
        let token = join_token(&server(), "kitchen", "cook", "chef").unwrap();
        let claims = TokenVerifier::with_api_key("devkey", "secret")
            .verify(token.expose())
            .unwrap();
        assert_eq!(
            (claims.sub.as_str(), claims.kind.as_str()),
            ("cook", "agent")
        );
        assert_eq!(claims.video.room, "kitchen");
        assert!(claims.video.room_join && claims.video.agent);
        assert_eq!(claims.video.can_update_own_metadata, Some(true));
        assert_eq!(claims.attributes["lk.agent.name"], "chef");
    }

    #[test]
    fn an_administrator_of_the_room_may_dispatch_and_nobody_else() {
        let token = |key, secret, room_admin| {
            let grants = VideoGrants {
                room_admin,
                room: "kitchen".to_owned(),
                ..VideoGrants::default()
            };
            let token = AccessToken::with_api_key(key, secret).with_grants(grants);
            token.to_jwt().unwrap()
        };
        let of = |token: &str| Administrator::of(&server(), token);
        let administrator = of(&token("devkey", "secret", true)).unwrap();
        assert!(administrator.is_of("kitchen"));
        assert!(!administrator.is_of("cellar") && !administrator.is_of(""));
        let guest = of(&token("devkey", "secret", false)).unwrap();
        assert!(!guest.is_of("kitchen"));
        for foreign in [
            token("devkey", "guessed", true),
            token("other", "secret", true),
            String::new(),
        ] {
            assert_eq!(of(&foreign).unwrap_err(), Unauthenticated);
        }
    }

    #[test]
    fn a_token_that_nobody_has_signed_is_no_good() {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let claims = r#"{"iss":"devkey","exp":99999999999,"nbf":0,
                         "video":{"roomAdmin":true,"room":"kitchen"}}"#;
        for algorithm in ["none", "HS256"] {
            let header = part(&format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#));
            let token = format!("{header}.{}.", part(claims));
            let refused = Administrator::of(&server(), &token).unwrap_err();
            assert_eq!(refused, Unauthenticated);
        }
    }

    #[test]
    fn a_guest_token_joins_one_room_and_asks_for_the_agent() {
        let claims = |agent_name| {
            let ttl = Duration::from_secs(60);
            let token = guest_token(&server(), "kitchen", "ann", agent_name, ttl).unwrap();
            let verifier = TokenVerifier::with_api_key("devkey", "secret");
            verifier.verify(token.expose()).unwrap()
        };
        let named = claims("chef");
        assert_eq!((named.sub.as_str(), named.kind.as_str()), ("ann", ""));
        assert_eq!(named.video.room, "kitchen");
        assert!(named.video.room_join && !named.video.agent && !named.video.room_admin);
        let agents = named.room_config.unwrap().agents;
        assert_eq!(agents[0].agent_name, "chef");
        assert_eq!(claims("").room_config, None);
    }
}
