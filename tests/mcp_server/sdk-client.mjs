// The official TypeScript clients, over HTTP or stdio: prints what a call of dispatch returned.
//   node sdk-client.mjs NODE_MODULES v1|auto|legacy URL TOKEN   or   ... v1|auto|legacy stdio COMMAND
import { pathToFileURL } from "node:url";

const [folder, mode, place, extra] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(`${folder}/@modelcontextprotocol/${file}`).href);
const stdio = () => ({ command: extra, env: process.env, stderr: "inherit" });
const requestInit = { headers: { Authorization: `Bearer ${extra}` } };

let client, transport;
const info = { name: "sdk-client", version: "1" };
if (mode === "v1") {
  const { Client } = await load("sdk/dist/esm/client/index.js");
  const { StdioClientTransport } = await load("sdk/dist/esm/client/stdio.js");
  const { StreamableHTTPClientTransport } = await load("sdk/dist/esm/client/streamableHttp.js");
  client = new Client(info);
  transport = place === "stdio" ? new StdioClientTransport(stdio())
    : new StreamableHTTPClientTransport(new URL(place), { requestInit });
} else {
  const { Client, StreamableHTTPClientTransport } = await load("client/dist/index.mjs");
  const { StdioClientTransport } = await load("client/dist/stdio.mjs");
  client = new Client(info, { versionNegotiation: { mode } });
  transport = place === "stdio" ? new StdioClientTransport(stdio())
    : new StreamableHTTPClientTransport(new URL(place), { requestInit });
}
await client.connect(transport);
const { tools } = await client.listTools();
const result = await client.callTool({ name: "dispatch", arguments: { task: "say hello" } });
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), answer: result.structuredContent.answer }));
await client.close();
