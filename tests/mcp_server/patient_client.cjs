// A client with the TypeScript SDK as it comes: dispatches a task, and asks for its result until it is there.
//
//   node patient_client.cjs NODE_MODULES COMMAND TASK WAIT_SECONDS [TIMEOUT_MS]
//
// Without TIMEOUT_MS the SDK's own limit of 60 s for each request holds. Prints a line of JSON for each reply.
const { createRequire } = require("node:module");

const [modules, command, task, waitSeconds, timeout] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const { Client } = load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = load("@modelcontextprotocol/sdk/client/stdio.js");

const options = timeout ? { timeout: Number(timeout) } : undefined;
const wait = waitSeconds === "default" ? {} : { wait_seconds: Number(waitSeconds) };

async function call(client, name, args) {
  const result = await client.callTool({ name, arguments: args }, undefined, options);
  console.log(JSON.stringify(result.structuredContent));
  return result.structuredContent;
}

async function main() {
  const client = new Client({ name: "patient", version: "1.0.0" });
  await client.connect(new StdioClientTransport({ command, args: [], env: process.env, stderr: "inherit" }));
  let job = await call(client, "dispatch", { task, timeout_seconds: 600, ...wait });
  while (["queued", "running"].includes(job.state)) {
    // What a model does: it follows next_step, which says wait_seconds=45.
    const [, seconds] = job.next_step.match(/wait_seconds=(\d+)/);
    job = await call(client, "job_result", { job_id: job.job_id, wait_seconds: wait.wait_seconds ?? Number(seconds) });
  }
  await client.close();
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
