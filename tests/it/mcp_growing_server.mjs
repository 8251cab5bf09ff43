// An MCP server on the official TypeScript SDK whose tool `grow` adds a tool `grown`, of which it tells its client.
// usage: node mcp_growing_server.mjs DIRECTORY-OF-NODE_MODULES

const sdk = `${process.argv[2]}/@modelcontextprotocol/sdk/dist/esm/server`;
const { McpServer } = await import(`${sdk}/mcp.js`);
const { StdioServerTransport } = await import(`${sdk}/stdio.js`);

const server = new McpServer({ name: "growing", version: "1.0.0" });
const say = (text) => async () => ({ content: [{ type: "text", text }] });
server.registerTool("grow", { description: "Adds a tool." }, async () => {
  server.registerTool("grown", { description: "Was added." }, say("here I am"));
  return say("grown")();
});
await server.connect(new StdioServerTransport());
