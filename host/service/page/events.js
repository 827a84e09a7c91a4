// The service's event stream. Not EventSource, which can send no token.

import { request } from "./api.js";

const LONGEST_WAIT_MS = 30000;

/// Calls onEvent(name, value) for each event, and onState(isLive) when the stream begins or ends.
/// Connects again by itself, from the last event on. A page that nobody sees holds no stream: a
/// browser opens six connections to one place, and keeps those of pages that were left.
export async function follow({ onEvent, onState }) {
  let lastId = null;
  let waitMs = 1000;
  for (;;) {
    let retryMs = 0;
    await visible();
    const { signal } = seen;
    try {
      const headers = { Accept: "text/event-stream" };
      if (lastId !== null) headers["Last-Event-ID"] = lastId;
      const response = await request("/v1/events", { headers, signal });
      onState(true);
      waitMs = 1000;
      for await (const event of parsed(response.body)) {
        if (event.id !== null) lastId = event.id;
        if (event.name === "reset") lastId = null;
        onEvent(event.name, event.value);
      }
    } catch (error) {
      retryMs = 1000 * (error.retrySeconds ?? 0);
    }
    onState(false);
    if (signal.aborted) continue;
    await new Promise((resolve) => setTimeout(resolve, Math.max(waitMs, retryMs)));
    waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
  }
}

let seen = new AbortController(); // aborts where the page is hidden or left
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return;
  seen.abort();
  seen = new AbortController();
});

/// Resolves at once where the page is visible, else as soon as it is.
async function visible() {
  while (document.hidden) {
    await new Promise((resolve) =>
      document.addEventListener("visibilitychange", resolve, { once: true }));
  }
}

/// The events {id, name, value} in a stream of bytes.
async function* parsed(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { id: null, name: "message", value: null };
      for (const line of block.split("\n")) {
        const [, field, text] = /^(id|event|data): ?(.*)$/.exec(line) ?? [];
        if (field === "id") event.id = text;
        if (field === "event") event.name = text;
        if (field === "data") event.value = JSON.parse(text);
      }
      if (event.value !== null) yield event;
    }
  }
}
