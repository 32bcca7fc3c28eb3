// Requests to the service; an error response is thrown as a ServiceError. The API key is stored only here.

let key = "";

export class ServiceError extends Error {
  constructor(status, code, message, field) {
    super(message);
    Object.assign(this, { status, code, field });
  }
}

export function setKey(value) {
  key = value;
}

export function hasKey() {
  return key !== "";
}

export async function request(path, body, type) {
  return (await requestAll(path, body, type)).content;
}

// The content of a response with its headers.
export async function requestAll(path, body, type) {
  const response = await send(path, body, type);
  const text = await response.text();
  if (!response.ok) throw serviceError(response.status, text);
  const content = response.headers.get("content-type")?.startsWith("application/json") ? JSON.parse(text) : text;
  return { content, headers: response.headers };
}

async function send(path, body, type) {
  const headers = { ...(key ? { authorization: `Bearer ${key}` } : {}), ...(type ? { "content-type": type } : {}) };
  const post = body === undefined ? {} : { method: "POST", body };
  try {
    return await fetch(path, { headers, cache: "no-store", ...post });
  } catch {
    throw new ServiceError(0, "unreachable", "The service does not respond. Is it still running?", "");
  }
}

function serviceError(status, text) {
  try {
    const { code, message, field } = JSON.parse(text).error;
    return new ServiceError(status, code, message, field);
  } catch {
    return new ServiceError(status, "refused", `The service responded with status ${status}.`, "");
  }
}
