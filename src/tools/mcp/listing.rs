//! The tools that a server lends, as far as they fit into a prompt.
//!
//! The model is given every tool with each answer that it is asked for, so a list without a bound costs
//! each turn of each call. A tool beyond a bound is left out, and the others are lent.

use rmcp::RoleClient;
use rmcp::model::{PaginatedRequestParams, Tool};
use rmcp::service::{Peer, ServiceError};

use super::config::ServerConfig;
use crate::excess::Excess;
use crate::text::cut_to_chars;

/// Pages of one list: enough for lists that have a few tools on each.
const PAGES_MAX: usize = 32;

/// Tools of one server.
///
/// Source: OpenAI's API reference, `tools`: at most 128 functions in a request.
const TOOLS_MAX: usize = 128;

/// Characters of a description, about 500 tokens; what is beyond is cut.
const DESCRIPTION_CHARS_MAX: usize = 2_000;

/// Bytes of a tool's schema as JSON, about 4,000 tokens. One that is cut is no schema, so the tool is
/// left out.
const SCHEMA_BYTES_MAX: usize = 16 * 1024;

/// Bytes of all that is lent by one server: names, descriptions and schemas, about 64,000 tokens.
const LIST_BYTES_MAX: usize = 256 * 1024;

/// Asks for the tools that the settings allow.
///
/// # Errors
/// When the server does not tell them.
pub(super) async fn list(
    config: &ServerConfig,
    peer: &Peer<RoleClient>,
) -> Result<Vec<Tool>, ServiceError> {
    let mut listing = Listing::default();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let params = PaginatedRequestParams::default().with_cursor(cursor);
        let page = peer.list_tools(Some(params)).await?;
        let tools = page.tools.into_iter();
        tools
            .filter(|tool| config.allows(&tool.name))
            .for_each(|tool| listing.add(tool));
        cursor = page.next_cursor;
        if cursor.is_none() || listing.is_full() {
            break;
        }
    }
    if cursor.is_some() {
        listing.n_beyond += 1;
        Excess::ToolList.count("the pages of an MCP server's list of tools");
    }
    if listing.n_beyond > 0 {
        tracing::warn!(
            server = config.name,
            lent = listing.tools.len(),
            "an MCP server has more tools, or longer ones, than an agent is lent; name the ones you \
             need in mcp.allowed_tools"
        );
    }
    Ok(listing.tools)
}

/// The tools so far.
#[derive(Default)]
struct Listing {
    tools: Vec<Tool>,
    n_bytes: usize,
    /// Tools that were cut or left out.
    n_beyond: usize,
}

impl Listing {
    fn is_full(&self) -> bool {
        self.tools.len() >= TOOLS_MAX
    }

    /// Adds a tool; of its fields only those that the model is told stay in memory.
    fn add(&mut self, tool: Tool) {
        let mut description = tool.description.unwrap_or_default().into_owned();
        let is_cut = cut_to_chars(&mut description, DESCRIPTION_CHARS_MAX);
        let schema_bytes =
            serde_json::to_vec(&*tool.input_schema).map_or(usize::MAX, |it| it.len());
        let n_bytes =
            (self.n_bytes + tool.name.len() + description.len()).saturating_add(schema_bytes);
        let has_room = !self.is_full() && n_bytes <= LIST_BYTES_MAX;
        let is_lent = has_room && schema_bytes <= SCHEMA_BYTES_MAX;
        if is_cut || !is_lent {
            self.n_beyond += 1;
            Excess::ToolList.count("a tool of an MCP server");
        }
        if is_lent {
            self.n_bytes = n_bytes;
            self.tools
                .push(Tool::new(tool.name, description, tool.input_schema));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, description: &str, schema_bytes: usize) -> Tool {
        let schema = json!({"type": "object", "description": "x".repeat(schema_bytes)});
        let schema = schema.as_object().cloned().unwrap_or_default();
        Tool::new(name.to_owned(), description.to_owned(), schema)
    }

    #[test]
    fn a_long_description_is_cut_and_a_long_schema_leaves_its_tool_out() {
        let mut listing = Listing::default();
        listing.add(tool("long", &"ü".repeat(DESCRIPTION_CHARS_MAX + 1), 0));
        listing.add(tool("wide", "fits", SCHEMA_BYTES_MAX));
        listing.add(tool("fits", "fits", 100));
        let names: Vec<_> = listing.tools.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["long", "fits"]);
        let description = listing.tools[0].description.as_deref().unwrap_or_default();
        assert_eq!(description.chars().count(), DESCRIPTION_CHARS_MAX);
        assert_eq!(listing.n_beyond, 2);
    }

    #[test]
    fn number_and_size_of_all_tools_are_bounded() {
        let mut many = Listing::default();
        (0..2 * TOOLS_MAX).for_each(|n| many.add(tool(&n.to_string(), "", 0)));
        assert_eq!(many.tools.len(), TOOLS_MAX);
        let mut large = Listing::default();
        (0..100).for_each(|n| large.add(tool(&n.to_string(), "", SCHEMA_BYTES_MAX / 2)));
        assert!(large.n_bytes <= LIST_BYTES_MAX && large.tools.len() > 20);
    }
}
