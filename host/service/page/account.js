// One account: its margin by component, its losses, what contributes, and what trades would do.

import { accountPath, read } from "./api.js";
import { hasCharts, lossChart, waterfall } from "./charts.js";
import { facts, h, problem, setText, table, throttled } from "./dom.js";
import {
  compact, componentName, count, freshness, isFresh, percent, plural, quantity, ratio, time, usd,
  usdCents,
} from "./format.js";
import { whatIfForm } from "./whatif.js";

const RELOAD_MS = 1500;

export function mountAccount(main, frame, account) {
  let reading = null;
  let charts = [];
  let shownText = ""; // what is on the page, but for its age
  const status = h("span", { class: "status" });
  const origin = h("p", { class: "origin" });
  const errors = h("div");
  const summary = h("div");
  const marginPart = h("div");
  const lossPart = h("div");
  const positions = h("section", { "aria-labelledby": "positions-title" });
  main.replaceChildren(
    h("p", { class: "back" }, h("a", { href: "#/accounts" }, "Accounts")),
    h("h1", { tabindex: "-1", class: "account" }, account, " ", status),
    origin, errors, summary,
    h("div", { class: "columns" },
      h("div", {}, marginPart, whatIfForm(account, frame)), lossPart),
    positions);

  async function readAccount() {
    reading?.abort();
    const here = reading = new AbortController();
    try {
      const value = await read(accountPath(account), here.signal);
      if (here.signal.aborted) return;
      errors.replaceChildren();
      show(value);
    } catch (error) {
      if (error.name !== "AbortError") errors.replaceChildren(problem(error));
    }
  }
  const reload = throttled(readAccount, RELOAD_MS);

  function show(value) {
    const { margin, source, staleness } = value;
    setText(status, margin?.status ?? "");
    status.className = `status ${margin?.status ?? ""}`;
    setText(origin, source === null ? "No run has covered this account yet."
      : `Run ${source.run_sequence ?? source.run}, marks as of ${time(source.as_of)} ` +
        `(market #${count(source.market_sequence)}, ` +
        `positions #${count(source.position_sequence)}) · ` +
        (isFresh(staleness) ? "fresh" : `${freshness(staleness)}: ` +
          `${plural(staleness.market_updates, "market update")}, ` +
          `${plural(staleness.position_changes, "position change")}`));
    origin.classList.toggle("stale", !isFresh(staleness));
    // Drawn anew only where something changed, so that what is read or selected stays.
    const text = JSON.stringify({ ...value, staleness: null });
    if (text === shownText) return;
    shownText = text;
    charts.forEach((chart) => chart.destroy());
    charts = [];
    summary.replaceChildren(margin === null ? "" : summaryOf(value));
    marginPart.replaceChildren(margin === null ? "" : marginSection(margin));
    lossPart.replaceChildren(...(margin === null ? []
      : [lossSection(value), contributionSection(value)]));
    positions.replaceChildren(h("h2", { id: "positions-title" }, "Positions"),
                              positionTable(value.positions));
  }

  function framed(chart) {
    charts.push(chart);
    return chart.element;
  }

  function marginSection(margin) {
    return h("section", { "aria-labelledby": "margin-title" },
      h("h2", { id: "margin-title" }, "Margin by component"),
      hasCharts() ? framed(waterfall(margin)) : withoutCharts(),
      table("Components, USD", [
        { title: "Component", header: true, cell: (row) => row.name },
        { title: "Amount", numeric: true, cell: (row) => usdCents(row.amount) },
        { title: "Share", numeric: true, cell: (row) => percent(row.amount / margin.margin || 0) },
      ], margin.components.map(({ component, amount }) =>
        ({ name: componentName(component), amount })),
      [{ name: "Margin", amount: margin.margin, isTotal: true }]),
      facts([
        margin.worst_scenario && ["Worst stress scenario", margin.worst_scenario],
        margin.uncharged !== undefined &&
          ["Not charged: the lesser of dependence and concentration", usdCents(margin.uncharged)],
      ]));
  }

  function lossSection({ loss_distribution: losses, mode }) {
    const title = h("h2", { id: "loss-title" }, "Losses");
    const section = (...content) =>
      h("section", { "aria-labelledby": "loss-title" }, title, content);
    if (losses === null) return section(h("p", {}, "Nothing is held that could lose."));
    const { bin_edges: edges, counts, paths } = losses;
    return section(
      hasCharts() ? framed(lossChart(losses)) : withoutCharts(),
      facts([
        ["Value at risk", `${usdCents(losses.value_at_risk)} USD`],
        ["Expected shortfall", `${usdCents(losses.expected_shortfall)} USD`],
        ["Confidence", percent(losses.confidence)],
        ["Paths", count(paths)],
      ]),
      mode !== "portfolio" && h("p", { class: "note" }, "Of all positions together. The margin " +
        `adds up groups that do not offset each other (${mode} mode): its figures differ.`),
      h("details", { open: !hasCharts() },
        h("summary", {}, `${counts.length} bins as a table`),
        table("Paths by loss, USD", [
          { title: "From", numeric: true, cell: (bin) => usd(edges[bin]) },
          { title: "To", numeric: true, cell: (bin) => usd(edges[bin + 1]) },
          { title: "Paths", numeric: true, cell: (bin) => count(counts[bin]) },
          { title: "Share", numeric: true, cell: (bin) => percent(counts[bin] / paths) },
        ], counts.map((_, bin) => bin))));
  }

  function contributionSection({ contributions, contributions_rest: rest }) {
    // That of the positions now, which the margin need not have yet.
    const total = contributions.reduce((sum, row) => sum + row.component_es, rest);
    const share = ({ component_es: amount }) => percent(total ? amount / total : null);
    return h("section", { class: "contributions", "aria-labelledby": "contributions-title" },
      h("h2", { id: "contributions-title" }, "Largest contributions"),
      table("To expected shortfall, USD; negative: the position hedges", [
        { title: "Instrument", header: true, cell: (row) => row.instrument },
        { title: "Quantity", numeric: true, cell: (row) => row.quantity && quantity(row.quantity) },
        { title: "Component ES", numeric: true, cell: (row) => usdCents(row.component_es) },
        { title: "Share", numeric: true, wide: true, cell: share },
      ], contributions, [
        { instrument: "Others and rounding", quantity: "", component_es: rest },
        { instrument: "Expected shortfall", quantity: "", component_es: total, isTotal: true },
      ]));
  }

  reload();
  return {
    refresh: reload,
    onEvent(name, value) {
      const concerns = name === "market" || name === "run" ||
        (name === "margin" && value.accounts.some((row) => row.account === account));
      if (concerns) reload();
    },
    onEngine() {},
    unmount() {
      reload.cancel();
      reading?.abort();
      charts.forEach((chart) => chart.destroy());
    },
  };
}

const withoutCharts = () => h("p", { class: "note" },
  "No chart: the service has no Chart.js (Debian's libjs-chart.js). The table says the same.");

function summaryOf({ mode, margin }) {
  const tone = margin.status === "ok" ? null : margin.status;
  return facts([
    ["Margin", usdCents(margin.margin), "strong"],
    margin.equity !== undefined && ["Equity", usdCents(margin.equity), "strong"],
    margin.margin_excess !== undefined && ["Excess", usdCents(margin.margin_excess), tone],
    margin.margin_ratio !== undefined && ["Margin ratio", ratio(margin), tone],
    margin.maintenance_margin !== undefined &&
      ["Maintenance margin", usdCents(margin.maintenance_margin)],
    ["Expected shortfall", usdCents(margin.expected_shortfall)],
    ["95 % interval", `${compact(margin.confidence_low)} to ${compact(margin.confidence_high)}`],
    ["Value at risk", usdCents(margin.value_at_risk)],
    ["Gross notional", usd(margin.gross_notional)],
    ["Mode", mode],
  ]);
}

const positionTable = (rows) => rows.length === 0
  ? h("p", {}, "No positions.")
  : table(`${count(rows.length)} held now; notional in USD`, [
    { title: "Instrument", header: true, cell: (row) => row.instrument },
    { title: "Underlying", wide: true, cell: (row) => row.underlying },
    { title: "Type", cell: (row) => row.type },
    { title: "Quantity", numeric: true, cell: (row) => quantity(row.quantity) },
    { title: "Gross notional", numeric: true, cell: (row) => usd(row.gross_notional) },
  ], rows);
