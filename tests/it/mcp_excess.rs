//! A server of tools that says more than a prompt can hold, over real HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;
use voxpool::chat::{ToolCall, ToolOutput};
use voxpool::excess::Excess;
use voxpool::pool::{Config, ConnectionPool};
use voxpool::tools::mcp::ServerConfig;
use voxpool::tools::{McpServers, ToolSet};

use crate::common::within;

/// What one page of the list has, by its number from 0.
type PageOf = fn(usize) -> Vec<Value>;

struct Talkative {
    page: PageOf,
    n_pages: AtomicUsize,
}

fn described(name: &str, description: &str, schema_bytes: usize) -> Value {
    json!({"name": name, "description": description, "inputSchema":
        {"type": "object", "properties": {}, "description": "x".repeat(schema_bytes)}})
}

async fn answer(State(server): State<Arc<Talkative>>, Json(asked): Json<Value>) -> Response {
    let Some(id) = asked.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": asked["params"]["protocolVersion"],
            "capabilities": {"tools": {}}, "serverInfo": {"name": "talkative", "version": "1"}}),
        "tools/list" => {
            let page = server.n_pages.fetch_add(1, Ordering::SeqCst);
            json!({"tools": (server.page)(page), "nextCursor": "more"})
        }
        "tools/call" if asked["params"]["name"] == "refuses" => {
            let error = json!({"code": -32000, "message": "no ".repeat(1_000_000)});
            return Json(json!({"jsonrpc": "2.0", "id": id, "error": error})).into_response();
        }
        "tools/call" => json!({"content": [{"type": "text", "text": "yes ".repeat(1_000_000)}]}),
        _ => json!({}),
    };
    Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
}

/// An agent's tools from a server, and the pages that it was asked for.
struct House {
    tools: ToolSet,
    server: Arc<Talkative>,
    _servers: McpServers,
    _serving: AbortOnDropHandle<()>,
}

impl House {
    async fn open(page: PageOf, allowed_tools: &[&str]) -> Self {
        let server = Arc::new(Talkative {
            page,
            n_pages: AtomicUsize::new(0),
        });
        let app = Router::new()
            .route("/mcp", post(answer))
            .with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let config = ServerConfig {
            name: "talkative".to_owned(),
            url,
            allowed_tools: allowed_tools.iter().map(|it| (*it).to_owned()).collect(),
            ..ServerConfig::default()
        };
        let pool = ConnectionPool::new(Config::default()).unwrap();
        let servers = McpServers::start(&[config], &pool);
        within("the server is connected", servers.settled()).await;
        let sources = servers.sources(&["*".to_owned()]).into_iter();
        Self {
            tools: sources.fold(ToolSet::default(), ToolSet::and_from),
            server,
            _servers: servers,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    async fn call(&self, name: &str) -> ToolOutput {
        let call = ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments: "{}".to_owned(),
            ..ToolCall::default()
        };
        within("the tool answers", self.tools.call(&call)).await
    }

    fn n_pages(&self) -> usize {
        self.server.n_pages.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_list_without_end_is_read_as_far_as_a_prompt_can_hold_it() {
    let before = Excess::ToolList.counted();
    let house = House::open(
        |page| {
            let tool = |n| described(&format!("t{page}_{n}"), &"so ".repeat(1_000), 400);
            (0..20).map(tool).collect()
        },
        &[],
    )
    .await;
    let specs = house.tools.specs();
    assert!((50..=128).contains(&specs.len()), "{} tools", specs.len());
    let told: usize = specs
        .iter()
        .map(|it| it.description.len() + it.parameters.to_string().len())
        .sum();
    assert!(told <= 256 * 1024, "{told} bytes");
    assert!(house.n_pages() <= 32, "{} pages", house.n_pages());
    assert!(Excess::ToolList.counted() > before);
}

#[tokio::test]
async fn pages_without_tools_come_to_an_end_and_allowed_tools_are_found_among_many() {
    let house = House::open(
        |page| match page {
            20 => vec![described("wanted", "is wanted", 0)],
            _ => (0..200)
                .map(|n| described(&format!("t{page}_{n}"), "", 0))
                .collect(),
        },
        &["wanted"],
    )
    .await;
    let names: Vec<_> = house.tools.specs().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["wanted"]);
    assert_eq!(house.n_pages(), 32);
}

#[tokio::test]
async fn results_and_refusals_are_cut_alike() {
    let house = House::open(
        |_| {
            ["answers", "refuses"]
                .map(|name| described(name, "", 0))
                .into()
        },
        &[],
    )
    .await;
    for (name, is_error) in [("answers", false), ("refuses", true)] {
        let output = house.call(name).await;
        assert_eq!(output.is_error, is_error, "{}", output.text.len());
        let n_chars = output.text.chars().count();
        assert!(
            (16_000..16_100).contains(&n_chars),
            "{name}: {n_chars} characters"
        );
    }
}
