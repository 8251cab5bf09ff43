//! Several agents in one process: the real binary, each dispatched by its name.

use offline_openai::{Config, Server};

use super::caller::Caller;
use crate::common::eventually;
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::program::{Started, run};

const BAKERY: &str = "name = \"bakery\"\n[greeting]\ntext = \"This is the bakery.\"\n";
const GARAGE: &str =
    "name = \"garage\"\ntools = [\"recall\"]\n[greeting]\ntext = \"Here is the garage.\"\n";

fn agents() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in [("bakery.toml", BAKERY), ("garage.toml", GARAGE)] {
        std::fs::write(directory.path().join(file), text).unwrap();
    }
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_agents_is_dispatched_by_its_name_and_greets_in_its_own_words() {
    let server = LiveKit::start().await;
    let (_, services) = Server::bind(Config::default()).await.unwrap();
    let agents = agents();
    let (url, openai) = (server.url(), services.base_url());
    let dir = agents.path().display().to_string();
    let variables = [
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("LIVEKIT_AGENT_NAME", "bakery"),
        ("OPENAI_BASE_URL", openai.as_str()),
        ("VOXPOOL__AGENTS__DIR", dir.as_str()),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
        ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
        ("VOXPOOL__WORKER__SLOTS_MAX", "2"),
    ];
    let worker = Started::with(&variables).await;
    let status = async |what: &str| {
        let (_, body) = worker.get("/worker").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body[what].clone()
    };
    assert_eq!(status("agent_name").await, "bakery,garage");
    eventually("both are registered", async || {
        (worker.get("/").await.0 == 200).then_some(())
    })
    .await;

    for (room, agent, words) in [
        ("sweet", "bakery", "This is the bakery."),
        ("loud", "garage", "Here is the garage."),
    ] {
        server.dispatch(room, agent, "").await;
        let caller = Caller::join(&url, room).await;
        caller.reads(true, words).await;
        let attributes = caller.agent().unwrap().attributes();
        assert_eq!(attributes["lk.agent.name"], agent);
        caller.room.close().await.unwrap();
        // The room with the agent in it goes when the caller has gone.
        eventually("the call is over", async || {
            (status("active_jobs").await == 0).then_some(())
        })
        .await;
    }
    worker.signal("TERM");
    assert_eq!(worker.exit_code().await, 0);
    services.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_lists_the_agents_and_tries_the_servers_of_their_tools() {
    let agents = agents();
    let dir = agents.path().display().to_string();
    let config = agents.path().join("voxpool.conf");
    let server = "[[mcp]]\nname = \"gone\"\ncommand = \"/nonexistent/server\"\n";
    std::fs::write(&config, server).unwrap();
    let config = config.display().to_string();
    let variables = [
        ("OPENAI_BASE_URL", "http://127.0.0.1:9"),
        ("LIVEKIT_URL", "ws://127.0.0.1:9"),
        ("VOXPOOL__AGENTS__DIR", dir.as_str()),
    ];
    let (_, out, err) = run(&["check", "--dev", "--config", &config], &variables).await;
    for line in [
        "ok      agent without a name, for every new room: of [agent]".to_owned(),
        format!("ok      agent bakery, for dispatches by this name: of {dir}/bakery.toml"),
        "FAILED  mcp server gone started as /nonexistent/server: its command cannot be".to_owned(),
    ] {
        assert!(out.contains(&line), "{line}\nnot in\n{out}{err}");
    }
}
