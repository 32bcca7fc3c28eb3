// Asks the service; what it refuses becomes a Refusal, with the field that it names. The key is kept here alone.

let key = "";

export class Refusal extends Error {
  constructor(status, code, message, field) {
    super(message);
    Object.assign(this, { status, code, field });
  }
}

export function carry(given) {
  key = given;
}

export function keyed() {
  return key !== "";
}

export async function ask(path, body) {
  const response = await sent(path, body);
  const text = await response.text();
  if (!response.ok) throw refusal(response.status, text);
  return response.headers.get("content-type")?.startsWith("application/json") ? JSON.parse(text) : text;
}

async function sent(path, body) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const posted = body === undefined ? {} : { method: "POST", body };
  try {
    return await fetch(path, { headers, cache: "no-store", ...posted });
  } catch {
    throw new Refusal(0, "unreachable", "The service does not answer. Is it still running?", "");
  }
}

function refusal(status, text) {
  try {
    const { code, message, field } = JSON.parse(text).error;
    return new Refusal(status, code, message, field);
  } catch {
    return new Refusal(status, "refused", `The service answered with status ${status}.`, "");
  }
}
