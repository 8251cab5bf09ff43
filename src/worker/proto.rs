//! The worker's protocol as plain types, and their wire form.
//!
//! **Invariant:** the sole import site of `livekit_protocol` in the worker. Whatever bytes the
//! server sends, decoding them gives a message or an error and never a panic.
//!
//! Source: livekit/protocol `livekit_agent.proto` as of livekit-protocol 0.8.

use std::collections::HashMap;

use livekit_protocol as wire;
use livekit_protocol::server_message::Message as FromServer;
use livekit_protocol::worker_message::Message as FromWorker;
use prost::Message;

use super::job::agent_identity;

/// Attribute under which front ends find the agent's name; the server adds `lk.agent_name` itself.
///
/// Source: livekit-agents 1.7 `job.py` `JobRequest.accept`.
const AGENT_NAME_ATTRIBUTE: &str = "lk.agent.name";

/// Attribute of the agent's state; there from the first moment, so that no front end has to guess.
///
/// Source: livekit-agents 1.8.9, `types.py`.
const AGENT_STATE_ATTRIBUTE: &str = "lk.agent.state";

/// What we tell the server.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outgoing {
    /// First message on a connection.
    Register {
        /// Name that dispatches ask for.
        agent_name: String,
        /// Deployment that dispatches ask for.
        deployment: String,
    },
    /// Answer to [`Incoming::Availability`].
    Availability {
        /// The job in question.
        job_id: String,
        /// The agent name to show on the participant; `None` refuses the job.
        accepted_as: Option<String>,
    },
    /// Whether we take jobs, and how busy we are.
    Status(WorkerReport),
    /// How a job is doing.
    Job(JobReport),
    /// Jobs that are still running here after a reconnect.
    Migrate(Vec<String>),
    /// Asks for [`Incoming::Pong`] with the same number, after all that was sent before.
    Ping(i64),
}

/// Contents of [`Outgoing::Status`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WorkerReport {
    /// Whether new jobs are welcome.
    pub(super) is_available: bool,
    /// Whether we are on the way out.
    pub(super) is_draining: bool,
    /// 0 idle, 1 full.
    pub(super) load: f32,
    /// Jobs accepted or running.
    pub(super) job_count: u32,
    /// Rises with every report of one registration.
    pub(super) sequence: u64,
}

/// Contents of [`Outgoing::Job`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobReport {
    /// The job.
    pub(super) job_id: String,
    /// Its status.
    pub(super) status: JobStatus,
}

/// The statuses a worker reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobStatus {
    /// Started.
    Running,
    /// Ended well.
    Success,
    /// Ended badly; why, without anything private.
    Failed(String),
}

/// What the server tells us.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    /// We are registered under this id (`AW_…`).
    Registered {
        worker_id: String,
        server_version: String,
    },
    /// Would we take this job?
    Availability(Dispatch),
    /// The job is ours.
    Assignment {
        dispatch: Dispatch,
        url: String,
        token: String,
    },
    /// The job must end.
    Termination { job_id: String },
    /// Answer to [`Outgoing::Ping`].
    Pong(i64),
    /// The server goes away; register again, elsewhere or when it is back.
    GoAway,
}

/// A job as the server describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dispatch {
    pub(super) job_id: String,
    pub(super) room: String,
    pub(super) agent_name: String,
    pub(super) metadata: String,
    pub(super) attributes: HashMap<String, String>,
}

/// Bytes that are no message we know. The text says what was wrong, never what they held.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    /// Not a protobuf message of the server's kind.
    #[error("not a message of the worker protocol: {0}")]
    NotAMessage(#[from] prost::DecodeError),
    /// A kind of message newer than we are.
    #[error("a kind of message this version does not know")]
    Unknown,
    /// A message about a job without the job.
    #[error("a message without the job it is about")]
    NoJob,
}

impl Outgoing {
    /// The bytes of one binary frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let message = match self {
            Self::Register {
                agent_name,
                deployment,
            } => register(agent_name, deployment),
            Self::Availability {
                job_id,
                accepted_as,
            } => availability(job_id, accepted_as.as_deref()),
            Self::Status(report) => FromWorker::UpdateWorker(wire::UpdateWorkerStatus {
                status: Some(if report.is_available {
                    wire::WorkerStatus::WsAvailable.into()
                } else {
                    wire::WorkerStatus::WsFull.into()
                }),
                load: report.load,
                job_count: report.job_count,
                draining: report.is_draining,
                seq: report.sequence,
            }),
            Self::Job(report) => job_status(report),
            Self::Migrate(job_ids) => FromWorker::MigrateJob(wire::MigrateJobRequest {
                job_ids: job_ids.clone(),
            }),
            Self::Ping(number) => FromWorker::Ping(wire::WorkerPing { timestamp: *number }),
        };
        wire::WorkerMessage {
            message: Some(message),
        }
        .encode_to_vec()
    }
}

fn register(agent_name: &str, deployment: &str) -> FromWorker {
    #[expect(
        deprecated,
        reason = "livekit-agents sends `agent`, and servers before 1.8 read it"
    )]
    let permissions = wire::ParticipantPermission {
        can_publish: true,
        can_subscribe: true,
        can_publish_data: true,
        can_update_metadata: true,
        agent: true,
        ..Default::default()
    };
    FromWorker::Register(wire::RegisterWorkerRequest {
        r#type: wire::JobType::JtRoom.into(),
        agent_name: agent_name.to_owned(),
        deployment: deployment.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        allowed_permissions: Some(permissions),
        ..Default::default()
    })
}

fn availability(job_id: &str, accepted_as: Option<&str>) -> FromWorker {
    FromWorker::Availability(match accepted_as {
        None => wire::AvailabilityResponse {
            job_id: job_id.to_owned(),
            ..Default::default()
        },
        Some(agent_name) => wire::AvailabilityResponse {
            job_id: job_id.to_owned(),
            available: true,
            participant_identity: agent_identity(job_id),
            participant_attributes: [
                (AGENT_NAME_ATTRIBUTE, agent_name),
                (AGENT_STATE_ATTRIBUTE, "initializing"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..Default::default()
        },
    })
}

fn job_status(report: &JobReport) -> FromWorker {
    let (status, error) = match &report.status {
        JobStatus::Running => (wire::JobStatus::JsRunning, ""),
        JobStatus::Success => (wire::JobStatus::JsSuccess, ""),
        JobStatus::Failed(why) => (wire::JobStatus::JsFailed, why.as_str()),
    };
    FromWorker::UpdateJob(wire::UpdateJobStatus {
        job_id: report.job_id.clone(),
        status: status.into(),
        error: error.to_owned(),
    })
}

/// The room that a token asks for: this agent is dispatched to it when it is made.
pub(super) fn room_for(agent_name: &str) -> wire::RoomConfiguration {
    wire::RoomConfiguration {
        agents: vec![wire::RoomAgentDispatch {
            agent_name: agent_name.to_owned(),
            ..wire::RoomAgentDispatch::default()
        }],
        ..wire::RoomConfiguration::default()
    }
}

impl Incoming {
    /// Reads one binary frame.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = wire::ServerMessage::decode(bytes)?.message;
        Ok(match message.ok_or(DecodeError::Unknown)? {
            FromServer::Register(register) => Self::Registered {
                worker_id: register.worker_id,
                server_version: register.server_info.map(|i| i.version).unwrap_or_default(),
            },
            FromServer::Availability(request) => Self::Availability(dispatch(request.job)?),
            FromServer::Assignment(assignment) => Self::Assignment {
                dispatch: dispatch(assignment.job)?,
                url: assignment.url.unwrap_or_default(),
                token: assignment.token,
            },
            FromServer::Termination(termination) => Self::Termination {
                job_id: termination.job_id,
            },
            FromServer::Pong(pong) => Self::Pong(pong.last_timestamp),
            FromServer::GoAway(_) => Self::GoAway,
        })
    }
}

fn dispatch(job: Option<wire::Job>) -> Result<Dispatch, DecodeError> {
    let job = job
        .filter(|job| !job.id.is_empty())
        .ok_or(DecodeError::NoJob)?;
    Ok(Dispatch {
        job_id: job.id,
        room: job.room.map(|room| room.name).unwrap_or_default(),
        agent_name: job.agent_name,
        metadata: job.metadata,
        attributes: job.attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(message: &Outgoing) -> FromWorker {
        wire::WorkerMessage::decode(message.encode().as_slice())
            .unwrap()
            .message
            .unwrap()
    }

    #[test]
    fn an_acceptance_carries_identity_and_agent_name() {
        let FromWorker::Availability(answer) = sent(&Outgoing::Availability {
            job_id: "AJ_1".to_owned(),
            accepted_as: Some("front-desk".to_owned()),
        }) else {
            panic!("not an availability answer");
        };
        assert!(answer.available);
        assert_eq!(answer.participant_identity, "agent-AJ_1");
        assert_eq!(answer.participant_attributes["lk.agent.name"], "front-desk");
        assert_eq!(
            answer.participant_attributes["lk.agent.state"],
            "initializing"
        );
    }

    #[test]
    fn a_refusal_lets_the_server_try_the_next_worker() {
        let FromWorker::Availability(answer) = sent(&Outgoing::Availability {
            job_id: "AJ_1".to_owned(),
            accepted_as: None,
        }) else {
            panic!("not an availability answer");
        };
        assert!(!answer.available && !answer.terminate);
    }

    #[test]
    fn an_assignment_passes_all_that_the_dispatch_said() {
        let bytes = wire::ServerMessage {
            message: Some(FromServer::Assignment(wire::JobAssignment {
                job: Some(wire::Job {
                    id: "AJ_1".to_owned(),
                    agent_name: "front-desk".to_owned(),
                    metadata: "{\"tier\":1}".to_owned(),
                    attributes: HashMap::from([("a".to_owned(), "b".to_owned())]),
                    room: Some(wire::Room {
                        name: "r".to_owned(),
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                url: None,
                token: "t".to_owned(),
            })),
        }
        .encode_to_vec();
        let expected = Incoming::Assignment {
            dispatch: Dispatch {
                job_id: "AJ_1".to_owned(),
                room: "r".to_owned(),
                agent_name: "front-desk".to_owned(),
                metadata: "{\"tier\":1}".to_owned(),
                attributes: HashMap::from([("a".to_owned(), "b".to_owned())]),
            },
            url: String::new(),
            token: "t".to_owned(),
        };
        assert_eq!(Incoming::decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_message_about_no_job_is_an_error() {
        let bytes = wire::ServerMessage {
            message: Some(FromServer::Availability(
                wire::AvailabilityRequest::default(),
            )),
        }
        .encode_to_vec();
        assert!(matches!(Incoming::decode(&bytes), Err(DecodeError::NoJob)));
        assert!(matches!(Incoming::decode(&[]), Err(DecodeError::Unknown)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            drop(Incoming::decode(&bytes));
        }

        #[test]
        fn no_damage_to_a_real_message_makes_decoding_panic(
            at in 0_usize..200, value in any::<u8>(), length in 0_usize..200
        ) {
            let mut bytes = Outgoing::Availability {
                job_id: "AJ_1234567890".to_owned(),
                accepted_as: Some("front-desk".to_owned()),
            }
            .encode();
            let index = at % bytes.len();
            bytes[index] = value;
            bytes.truncate(length.max(1));
            drop(Incoming::decode(&bytes));
        }
    }
}
