// Requests to the service, with the token where it wants one.

const TOKEN_KEY = "shortfall-token";

export const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY) ?? "",
  set: (text) =>
    text ? sessionStorage.setItem(TOKEN_KEY, text) : sessionStorage.removeItem(TOKEN_KEY),
};

/// What the service refused, in its words, or that it does not answer (status 0).
export class ServiceError extends Error {
  constructor(status, { error = "", message, problems = [] }, retrySeconds = 0) {
    super(message);
    this.status = status;
    this.error = error;
    this.problems = problems;
    this.retrySeconds = retrySeconds;
  }
}

let askForToken = null;
/// ask(message) resolves to whether there is a new token to try.
export function setTokenDialog(ask) {
  askForToken = ask;
}

async function errorOf(response) {
  const retrySeconds = Number(response.headers.get("Retry-After")) || 0;
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text);
    if (typeof body.message === "string") {
      return new ServiceError(response.status, body, retrySeconds);
    }
  } catch {
    // A proxy's page, say: its text is shown instead.
  }
  const message = text.slice(0, 300) || response.statusText || "refused without a reason";
  return new ServiceError(response.status, { message }, retrySeconds);
}

/// The response to a request; asks for a token as often as the service does. Throws ServiceError,
/// or AbortError where signal says so.
export async function request(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers };
    const used = token.get();
    if (used) headers.Authorization = `Bearer ${used}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (cause) {
      if (cause.name === "AbortError") throw cause;
      throw new ServiceError(0, { message: "The service does not answer." });
    }
    if (response.ok) return response;
    const error = await errorOf(response);
    const isToBeRepeated = error.status === 401 &&
      (token.get() !== used || await askForToken(used ? error.message : ""));
    if (!isToBeRepeated) throw error;
  }
}

export const read = async (path, signal) => (await request(path, { signal })).json();

export const send = async (method, path, body, signal) =>
  (await request(path, {
    method,
    signal,
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  })).json();

export const accountPath = (account) => `/v1/accounts/${encodeURIComponent(account)}`;
export const accountHash = (account) => `#/accounts/${encodeURIComponent(account)}`;
