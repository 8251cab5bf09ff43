//! One tool of a server, and its results in words for the model.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;

use super::server::Server;
use crate::chat::{ToolOutput, ToolSpec};
use crate::tools::{Tool, failed};

/// What a call may take beyond the server's own timeout, so that it is that one which ends it.
const GRACE: Duration = Duration::from_millis(500);

pub(super) struct McpTool {
    pub(super) server: Arc<Server>,
    pub(super) tool: rmcp::model::Tool,
}

impl Tool for McpTool {
    fn spec(&self) -> ToolSpec {
        let description = self.tool.description.as_deref();
        ToolSpec {
            name: self.tool.name.to_string(),
            description: description.unwrap_or_default().to_owned(),
            parameters: Value::Object((*self.tool.input_schema).clone()),
            // Strict mode would have the model write nulls that such a server does not expect.
            is_strict: false,
        }
    }

    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput> {
        let server = Arc::clone(&self.server);
        let mut params = CallToolRequestParams::new(self.tool.name.clone());
        if let Value::Object(arguments) = arguments {
            params = params.with_arguments(arguments);
        }
        async move {
            let name = server.name().to_owned();
            server.call(params).await.unwrap_or_else(|error| {
                tracing::debug!(%error, server = name, "an MCP server did not answer");
                failed(format!(
                    "the service {name} that has this tool does not answer at the moment"
                ))
            })
        }
        .boxed()
    }

    fn timeout(&self) -> Duration {
        self.server.timeout() + GRACE
    }
}

/// A result as the model reads it: its texts, else what it has as JSON. Images and sounds are only
/// named.
pub(super) fn output(result: CallToolResult) -> ToolOutput {
    let texts: Vec<String> = result.content.iter().map(in_words).collect();
    let text = match result.structured_content {
        Some(json) if texts.is_empty() => json.to_string(),
        _ => texts.join("\n"),
    };
    ToolOutput {
        text,
        is_error: result.is_error == Some(true),
    }
}

fn in_words(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[an image, {}]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[a sound, {}]", audio.mime_type),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            ResourceContents::BlobResourceContents { uri, .. } => format!("[a file: {uri}]"),
            _ => "[a file]".to_owned(),
        },
        ContentBlock::ResourceLink(link) => format!("[{}: {}]", link.name, link.uri),
        _ => "[something that cannot be read]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::ContentBlock as Block;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_its_texts_or_its_json() {
        let image = Block::image("AAAA", "image/png");
        let both = CallToolResult::success(vec![Block::text("one"), image]);
        assert_eq!(output(both).text, "one\n[an image, image/png]");

        let mut only = CallToolResult::structured(json!({"sum": 3}));
        only.content.clear();
        assert_eq!(output(only).text, r#"{"sum":3}"#);

        let wrong = output(CallToolResult::error(vec![Block::text("no such city")]));
        assert_eq!(
            (wrong.text.as_str(), wrong.is_error),
            ("no such city", true)
        );
    }
}
