//! Tools of another server, over its program and over HTTP. The server is the MCP project's own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use voxpool::chat::{ToolCall, ToolOutput};
use voxpool::pool::{Config, ConnectionPool};
use voxpool::redact::Pii;
use voxpool::tools::mcp::{self, ServerConfig};
use voxpool::tools::{McpServers, ToolSet};

use crate::common::{eventually, free_port, tool, within};

const SERVER: &str = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";

/// An agent's tools from these servers, connected or given up.
struct House {
    pool: ConnectionPool,
    servers: McpServers,
    tools: ToolSet,
}

impl House {
    async fn open(configs: Vec<ServerConfig>) -> Self {
        let pool = ConnectionPool::new(Config::default()).unwrap();
        let servers = McpServers::start(&configs, &pool);
        within("the servers are tried", servers.settled()).await;
        let sources = servers.sources(&["*".to_owned()]).into_iter();
        let tools = sources.fold(ToolSet::default(), ToolSet::and_from);
        Self {
            pool,
            servers,
            tools,
        }
    }

    fn names(&self) -> Vec<String> {
        self.tools.specs().into_iter().map(|it| it.name).collect()
    }

    async fn call(&self, name: &str, arguments: Value) -> ToolOutput {
        let call = ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_string(),
            ..ToolCall::default()
        };
        within("the tool answers", self.tools.call(&call)).await
    }

    /// Calls until the server says something.
    async fn call_until_answered(&self, name: &str, arguments: Value) -> String {
        eventually("the server is back", async || {
            let output = self.call(name, arguments.clone()).await;
            (!output.is_error).then_some(output.text)
        })
        .await
    }
}

fn program(name: &str) -> ServerConfig {
    let mut config = ServerConfig {
        name: name.to_owned(),
        command: "node".to_owned(),
        args: vec![tool(SERVER).display().to_string(), "stdio".to_owned()],
        timeout: Duration::from_secs(5),
        ..ServerConfig::default()
    };
    #[expect(clippy::disallowed_methods, reason = "where node is")]
    let missing = config.fill_in(|name| std::env::var(name).ok());
    assert!(missing.is_empty());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_a_program_are_told_and_called() {
    let mut config = program("everything");
    config.env = [("GIVEN".to_owned(), Pii::new("to the server".to_owned()))].into();
    let mut house = House::open(vec![config]).await;
    let specs = house.tools.specs();
    let sum = specs.iter().find(|it| it.name == "get-sum").unwrap();
    assert!(!sum.is_strict && !sum.description.is_empty());
    assert_eq!(sum.parameters["type"], "object");

    let output = house.call("get-sum", json!({"a": 2, "b": 40})).await;
    assert!(
        !output.is_error && output.text.contains("42"),
        "{}",
        output.text
    );
    let weather = json!({"location": "Chicago"});
    let output = house.call("get-structured-content", weather).await;
    let weather: Value = serde_json::from_str(&output.text).unwrap();
    assert_eq!(weather["temperature"], 36);
    let image = house.call("get-tiny-image", json!({})).await;
    assert!(
        image.text.contains("[an image, image/png]"),
        "{}",
        image.text
    );
    let wrong = house.call("get-sum", json!({"a": "two"})).await;
    // The server's own words: which argument it misses, and what it should be.
    assert!(wrong.is_error, "{}", wrong.text);
    assert!(wrong.text.contains("expected number"), "{}", wrong.text);

    // What it is given of our environment is what it needs and what the settings say.
    let env = house.call("get-env", json!({})).await.text;
    let env: Value = serde_json::from_str(&env).unwrap();
    assert_eq!(env["GIVEN"], "to the server");
    let inherits_little = |env: &Value| env.get("CARGO_MANIFEST_DIR").is_none();
    assert!(env.get("PATH").is_some() && inherits_little(&env), "{env}");

    let stats = house.pool.stats().await;
    let mcp = stats.services.iter().find(|it| it.service.label() == "mcp");
    let hosts = &mcp.expect("calls are counted").hosts;
    assert_eq!(hosts[0].host.as_deref(), Some("mcp/everything"));
    house.servers.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_takes_too_long_is_given_up_and_the_server_lives() {
    let config = ServerConfig {
        timeout: Duration::from_millis(500),
        ..program("slow")
    };
    let mut house = House::open(vec![config]).await;
    let long = json!({"duration": 30, "steps": 2});
    let output = house.call("trigger-long-running-operation", long).await;
    assert!(
        output.is_error && output.text.contains("slow"),
        "{}",
        output.text
    );
    let text = house
        .call_until_answered("echo", json!({"message": "here"}))
        .await;
    assert!(text.contains("here"), "{text}");
    house.servers.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_costs_only_its_own_tools() {
    let nowhere = ServerConfig {
        name: "nowhere".to_owned(),
        url: format!("http://127.0.0.1:{}/mcp", free_port()),
        ..ServerConfig::default()
    };
    let no_program = ServerConfig {
        name: "missing".to_owned(),
        command: "/nonexistent/server".to_owned(),
        ..ServerConfig::default()
    };
    let only_echo = ServerConfig {
        allowed_tools: vec!["echo".to_owned()],
        ..program("one")
    };
    let again = ServerConfig {
        name: "two".to_owned(),
        ..only_echo.clone()
    };
    let configs = vec![
        nowhere.clone(),
        no_program.clone(),
        only_echo.clone(),
        again,
    ];
    let mut house = House::open(configs).await;
    assert_eq!(house.names(), ["echo", "two_echo"]);
    let output = house.call("two_echo", json!({"message": "hello"})).await;
    assert!(output.text.contains("hello"), "{}", output.text);

    let check = async |config| mcp::check(config, &house.pool).await.1;
    assert_eq!(check(&only_echo).await.unwrap(), "lends 1 tools");
    assert!(
        check(&nowhere)
            .await
            .unwrap_err()
            .contains("cannot be reached")
    );
    assert!(
        check(&no_program)
            .await
            .unwrap_err()
            .contains("cannot be started")
    );
    house.servers.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_dies_is_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let mut config = program("mortal");
    let script = format!("echo $$ >'{}'; exec node \"$0\" stdio", pid_file.display());
    config.command = "sh".to_owned();
    config.args = vec!["-c".to_owned(), script, config.args[0].clone()];
    let mut house = House::open(vec![config]).await;
    let first = pid(&pid_file).expect("the program runs");
    let killed = Command::new("kill").args(["-9", &first]).status().await;
    assert!(killed.unwrap().success());
    eventually("another one runs", async || {
        pid(&pid_file).filter(|pid| *pid != first)
    })
    .await;
    assert!(house.names().contains(&"echo".to_owned()), "its tools stay");
    let text = house
        .call_until_answered("echo", json!({"message": "again"}))
        .await;
    assert!(text.contains("again"), "{text}");
    house.servers.close().await;
}

fn pid(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.ends_with('\n').then(|| text.trim().to_owned())
}

async fn serve_http(port: u16) -> Child {
    let child = Command::new("node")
        .arg(tool(SERVER))
        .arg("streamableHttp")
        .env("PORT", port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    eventually("the server listens", async || {
        let address = ("127.0.0.1", port);
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_over_http_shares_connections_and_may_go_and_come() {
    let port = free_port();
    let mut server = serve_http(port).await;
    let config = ServerConfig {
        name: "remote".to_owned(),
        url: format!("http://127.0.0.1:{port}/mcp"),
        token: Pii::new("secret-token".to_owned()),
        timeout: Duration::from_secs(5),
        ..ServerConfig::default()
    };
    let mut house = House::open(vec![config]).await;
    for n in 0..20 {
        let output = house.call("get-sum", json!({"a": n, "b": 1})).await;
        assert!(
            output.text.contains(&(n + 1).to_string()),
            "{}",
            output.text
        );
    }
    // One for the server's own messages, one or two for ours: not one per call.
    let opened = house.pool.stats().await.connections.opened;
    assert!((1..=3).contains(&opened), "{opened} connections");

    server.kill().await.unwrap();
    let output = house.call("get-sum", json!({"a": 1, "b": 1})).await;
    assert!(
        output.is_error && output.text.contains("remote"),
        "{}",
        output.text
    );
    let _server = serve_http(port).await;
    let text = house
        .call_until_answered("get-sum", json!({"a": 20, "b": 3}))
        .await;
    assert!(text.contains("23"), "{text}");
    house.servers.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_a_server_gets_later_is_there_in_the_same_call() {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/mcp_growing_server.mjs"
    );
    let modules = tool("node_modules").display().to_string();
    let config = ServerConfig {
        args: vec![script.to_owned(), modules],
        ..program("growing")
    };
    let mut house = House::open(vec![config]).await;
    assert_eq!(house.names(), ["grow"]);
    assert_eq!(house.call("grow", json!({})).await.text, "grown");
    eventually("the new tool is told", async || {
        (house.names() == ["grow", "grown"]).then_some(())
    })
    .await;
    let output = house.call("grown", json!({})).await;
    assert_eq!(output.text, "here I am");
    house.servers.close().await;
}
