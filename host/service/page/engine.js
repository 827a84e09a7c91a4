// The state of the engine: how fresh margins are, what is queued and running, on what.

import { read } from "./api.js";
import { facts, h, problem, table, throttled } from "./dom.js";
import { compact, count, duration, percent, plural, time } from "./format.js";

const RELOAD_MS = 1000;
const RUNS_SHOWN = 25;
const CLASSES = {
  whatif: "What-ifs",
  near_call: "Accounts near a call",
  periodic: "Periodic runs",
};

export function mountEngine(main) {
  let reading = null;
  const errors = h("div");
  const state = h("div");
  const runs = h("section", { "aria-labelledby": "runs-title" });
  main.replaceChildren(h("h1", { tabindex: "-1" }, "Engine"), errors, state, runs);

  async function readRuns() {
    reading?.abort();
    const here = reading = new AbortController();
    try {
      const { runs: rows } = await read(`/v1/runs?limit=${RUNS_SHOWN}`, here.signal);
      if (here.signal.aborted) return;
      errors.replaceChildren();
      runs.replaceChildren(h("h2", { id: "runs-title" }, "Runs"), runTable(rows));
    } catch (error) {
      if (error.name !== "AbortError") errors.replaceChildren(problem(error));
    }
  }
  const reload = throttled(readRuns, RELOAD_MS);

  reload();
  return {
    refresh: reload,
    onEvent(name) {
      if (name === "run") reload();
    },
    onEngine(engine) {
      // What the reader has open stays open.
      const isOpen = state.querySelector("details")?.open ?? false;
      state.replaceChildren(...stateOf(engine));
      const details = state.querySelector("details");
      if (details) details.open = isOpen;
    },
    unmount() {
      reload.cancel();
      reading?.abort();
    },
  };
}

function stateOf(engine) {
  const { staleness, last_full_run: full } = engine;
  return [
    facts([
      ["Stale accounts", `${count(staleness.accounts)} of ${count(engine.accounts)}`,
       staleness.accounts ? "strong stale" : "strong"],
      ["Stalest", duration(staleness.seconds)],
      ["Since the last full run", `${plural(staleness.market_updates, "market update")}, ` +
        plural(staleness.position_changes, "position change")],
      ["Paths per second", compact(engine.paths_per_second), "strong"],
      ["Market", `#${count(engine.market_sequence)}, as of ${time(engine.as_of)}`],
      ["Positions", `#${count(engine.position_sequence)}`],
      ["Ledger", `${plural(engine.run_sequence, "run")}, inputs ${engine.inputs_generation}`],
      ["Instruments", count(engine.instruments)],
      ["Event streams", `${count(engine.event_streams)} of ${count(engine.event_streams_limit)}`],
      ["Up", duration(engine.uptime_seconds)],
      ["Version", engine.program_version],
    ]),
    h("div", { class: "columns" },
      h("section", { "aria-labelledby": "queue-title" },
        h("h2", { id: "queue-title" }, "Queue"),
        table("By class, the most urgent first", [
          { title: "Class", header: true, cell: (row) => CLASSES[row.class] ?? row.class },
          { title: "Jobs", numeric: true, cell: (row) => count(row.jobs) },
          { title: "Oldest", numeric: true, cell: (row) =>
            row.jobs === 0 ? "" : duration(row.oldest_seconds) },
        ], engine.queue)),
      h("section", { "aria-labelledby": "backends-title" },
        h("h2", { id: "backends-title" }, "Backends"),
        table("Those of the last run", [
          { title: "Backend", header: true, cell: backendName },
          { title: "State", cell: (row) =>
            h("span", { class: row.state === "failed" ? "liquidate" : "ok" }, row.state) },
          { title: "Paths/s", numeric: true, cell: (row) => compact(row.paths_per_second) },
        ], engine.backends),
        listed("Failures since the start", engine.backend_failures, "liquidate"))),
    full === null ? h("p", {}, "There has been no full run.") : fullRun(full),
  ];
}

/// Sentences under a title; nothing where there are none.
const listed = (title, sentences, tone) => sentences.length > 0 &&
  h("div", {}, h("p", { class: "note" }, title),
    h("ul", { class: tone }, sentences.map((sentence) => h("li", {}, sentence))));

const backendName = ({ name, device, instruction_set: set, threads, error }) => h("div", {},
  [name, set, threads && plural(threads, "thread")].filter(Boolean).join(", "),
  h("div", { class: "muted" }, device),
  error !== null && h("div", { class: "liquidate" }, error));

const fullRun = (run) => h("section", { "aria-labelledby": "full-title" },
  h("h2", { id: "full-title" }, `Last full run: ${run.sequence ?? run.id}`),
  facts([
    ["Ended", time(run.ended_at)],
    ["Took", duration(run.seconds)],
    ["Accounts", count(run.accounts)],
    ["Paths", `${count(run.paths)} ${run.sampler}, seed ${run.seed}`],
    ["Marks", `market #${count(run.market_sequence)}, as of ${time(run.as_of)}`],
    ["Positions", `#${count(run.position_sequence)}`],
    ["Program", `${run.program_version}, inputs ${run.inputs_generation}`],
  ]),
  listed("Warnings", run.warnings, "call"),
  h("details", {}, h("summary", {}, "Hashes for an audit"),
    facts([["Plan (SHA-256)", run.plan_hash ?? "–", "hash"],
           ...Object.entries(run.input_hashes).map(([file, hash]) => [file, hash, "hash"])])));

const STATUS_TONE = { failed: "liquidate", cancelled: "call", done: "muted" };

const runTable = (rows) => table(`The last ${count(rows.length)}, newest first`, [
  { title: "Run", header: true, cell: (run) => `${run.sequence ?? run.id}` },
  { title: "Kind", cell: (run) => run.kind },
  { title: "Status", cell: (run) => h("div", { class: STATUS_TONE[run.status] ?? "strong" },
      run.status, run.error !== null && h("div", {}, run.error)) },
  { title: "Paths", cell: (run) => run.status === "done"
    ? h("span", { class: "muted" }, `all ${count(run.paths)}`)
    : h("span", { class: "progress" },
        h("progress", { max: run.paths, value: run.paths_done,
                        "aria-label": `Paths of run ${run.sequence ?? run.id}` }),
        ` ${percent(run.paths_done / run.paths)}`) },
  { title: "Took", numeric: true, cell: (run) => duration(run.seconds) },
  { title: "Accounts", numeric: true, cell: (run) => count(run.accounts) },
  { title: "Market", numeric: true, wide: true, cell: (run) => count(run.market_sequence) },
  { title: "Positions", numeric: true, wide: true, cell: (run) => count(run.position_sequence) },
  { title: "As of", wide: true, cell: (run) => time(run.as_of) },
  { title: "Ended", wide: true, cell: (run) => time(run.ended_at) },
  { title: "Plan", wide: true, cell: (run) => h("span", { class: "hash", title: run.plan_hash },
      run.plan_hash?.slice(0, 12) ?? "–") },
], rows);
