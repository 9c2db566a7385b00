// Asks a server through the official JavaScript client as it is told on standard input; prints what it got.
import { readFileSync } from "node:fs";
import { Ollama } from "ollama";

const { host, method, request } = JSON.parse(readFileSync(0, "utf8"));
const client = new Ollama({ host });

async function ask() {
  const answer = await client[method](request);
  if (!request.stream) return [answer];
  const parts = [];
  for await (const part of answer) parts.push(part);
  return parts;
}

try {
  console.log(JSON.stringify({ parts: await ask() }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message, status: error.status_code ?? null }));
}
