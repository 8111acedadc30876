// The server's routes. A failure is a `Failure` whose message can be shown.

import { ask } from "./ui.js";

const KEPT = "longtake.token";

export class Failure extends Error {
  constructor(message, { type = "failed", status = 0, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { type, status, retryAfter });
  }
}

let known = sessionStorage.getItem(KEPT);
let asking = null;

async function askToken() {
  asking ??= ask({ title: "This server asks for a token", text: "It was given to you by whoever runs the server.", label: "Token", ok: "Continue" });
  known = await asking;
  asking = null;
  if (known) sessionStorage.setItem(KEPT, known);
  return known;
}

/** Call a route; `body` is an object (JSON) or FormData. */
export async function call(method, path, body = undefined) {
  const headers = {};
  if (known) headers.authorization = `Bearer ${known}`;
  if (body !== undefined && !(body instanceof FormData)) {
    headers["content-type"] = "application/json";
    body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, { method, headers, body });
  } catch {
    throw new Failure("The server does not answer. Is it running?", { type: "unreachable" });
  }
  if (answer.status === 401 && (await askToken())) return call(method, path, body);
  if (!answer.ok) throw await failure(answer);
  return answer.status === 204 ? null : answer.json();
}

async function failure(answer) {
  let error = {};
  try {
    error = (await answer.json()).error ?? {};
  } catch {
    // the body is not ours; the status says enough
  }
  return new Failure(error.message ?? `The server answered ${answer.status}.`, {
    type: error.type, status: answer.status, retryAfter: error.retry_after ?? null,
  });
}

let auth = "none";

export async function status() {
  const found = await call("GET", "/v1/status");
  auth = found.auth;
  return found;
}

const tokens = new Map();

/** A stream token for a take (null: for one that is not there yet), or null when the server asks for none. */
export async function streamToken(take, scope) {
  if (auth === "none") return null;
  const key = `${take} ${scope}`;
  const held = tokens.get(key);
  if (take && held && held.expires_at - Date.now() / 1000 > 30) return held.token;
  const fresh = await call("POST", "/v1/tokens", { take_id: take, scope });
  if (take) tokens.set(key, fresh);
  return fresh.token;
}

/** A link to media of a take that a `<video>` or an `<img>` can open. */
export async function link(take, path) {
  const token = await streamToken(take, "watch");
  if (token === null) return path;
  return `${path}${path.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}`;
}

export const models = async () => (await call("GET", "/v1/models")).data;
export const takes = (limit, after = null) => call("GET", `/v1/takes?limit=${limit}${after ? `&after=${after}` : ""}`);
export const take = (id) => call("GET", `/v1/takes/${id}`);
export const tree = async (id) => (await call("GET", `/v1/takes/${id}/tree`)).root;
export const remove = (id) => call("DELETE", `/v1/takes/${id}`);

export const enhance = (id) => call("POST", `/v1/takes/${id}/enhance`);
export const enhanced = (id) => call("GET", `/v1/takes/${id}/enhance`);

export function upload(file) {
  const form = new FormData();
  form.append("file", file);
  return call("POST", "/v1/uploads", form);
}
