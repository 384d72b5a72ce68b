// A fake engine: a small OpenAI server on loopback that misbehaves as its JSON argument says.
import { spawn } from "node:child_process";
import { createServer } from "node:http";

const ask = JSON.parse(process.argv[2] ?? "{}");
const port = Number(process.argv[3]);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

if (ask.ignoreTerm) process.on("SIGTERM", () => console.log("SIGTERM? no"));
if (ask.grandchild) {
  const code = "process.on('SIGTERM',()=>{});setInterval(()=>{},1000);console.log('grandchild')";
  // `own`: in a session of its own, out of the group's reach.
  const child = spawn(process.execPath, ["-e", code], {
    detached: ask.grandchild === "own",
    stdio: ["ignore", "inherit", "inherit"],
  });
  console.log(`grandchild ${child.pid}`);
}
for (const line of ask.prints ?? []) {
  console.error(line);
  await sleep(ask.printEveryMs ?? 0);
}
if (ask.floods)
  for (let i = 0; i < 2000; i++) process.stdout.write(`${"x".repeat(1000)} ${i}${i % 2 ? "\r" : "\n"}`);
if (ask.exit !== undefined) process.exit(ask.exit);
if (ask.dies) process.kill(process.pid, ask.dies);

let isDead = false;
const loadedAt = Date.now() + (ask.loadMs ?? 0);
let held = [];
const server = createServer(async (request, response) => {
  let text = "";
  for await (const piece of request) text += piece;
  const send = (status, body) =>
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  if (request.url === "/health") return send(ask.loading && Date.now() < loadedAt ? 503 : 200, {});
  if (request.url === "/die") {
    isDead = true; // The work thread: HTTP goes on.
    if (ask.says) console.error(ask.says);
    return send(200, {});
  }
  if (request.url === "/close-socket") {
    send(200, {});
    server.close();
    server.closeAllConnections();
    setInterval(() => {}, 1000);
    return;
  }
  if (request.url === "/release") {
    for (const go of held) go();
    held = [];
    return send(200, {});
  }
  while (Date.now() < loadedAt) await sleep(5);
  if (isDead) return; // For ever.
  const body = text === "" ? {} : JSON.parse(text);
  const base = { id: "chatcmpl-1", created: 1, model: body.model };
  const words = Array.from({ length: body.max_tokens ?? 3 }, (_, i) => `w${i} `);
  const usage = { prompt_tokens: 3, completion_tokens: words.length, total_tokens: 3 + words.length };
  if (body.stream !== true) {
    const message = { role: "assistant", content: words.join("") };
    const choices = [{ index: 0, message, finish_reason: "length" }];
    return send(200, { ...base, object: "chat.completion", choices, usage, pid: process.pid });
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const event = (delta, finish = null, more = {}) => {
    const choices = [{ index: 0, delta, finish_reason: finish }];
    response.write(
      `data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", choices, ...more })}\n\n`,
    );
  };
  event({ role: "assistant", content: "" });
  for (const [i, word] of words.entries()) {
    if (i === ask.holdAt) await new Promise((resolve) => held.push(resolve));
    if (ask.tokenMs) await sleep(ask.tokenMs);
    event({ content: word });
  }
  event({}, "length");
  response.end(
    `data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", choices: [], usage })}\n\ndata: [DONE]\n\n`,
  );
});
server.on("error", (error) => {
  console.error(
    `OSError: [Errno 98] ${error.code === "EADDRINUSE" ? "Address already in use" : error.message}`,
  );
  if (!ask.livesWithoutSocket) process.exit(1);
});
server.listen(port, "127.0.0.1", () => console.log(`listening on ${port}`));
