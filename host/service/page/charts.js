// Chart.js as the package has it, where the service serves it. Tables say the same as each chart.

import { h } from "./dom.js";
import { compact, componentName, count, percent, usdCents } from "./format.js";

export const hasCharts = () => typeof window.Chart === "function";

const color = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/// draw(canvas) makes a Chart; it is made anew when the colour scheme changes. label says in words
/// what is to be seen. {element, destroy()}
function framed(className, label, draw) {
  const canvas = h("canvas", { role: "img", "aria-label": label });
  const element = h("div", { class: `chart ${className}` }, canvas);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  let chart = null;
  const redraw = () => {
    chart?.destroy();
    chart = draw(canvas);
  };
  scheme.addEventListener("change", redraw);
  // Its size is known when it is in the document.
  const frame = requestAnimationFrame(redraw);
  return {
    element,
    destroy() {
      cancelAnimationFrame(frame);
      scheme.removeEventListener("change", redraw);
      chart?.destroy();
    },
  };
}

const usdAxis = () => ({
  grid: { color: color("line"), drawBorder: false },
  ticks: { color: color("muted"), maxRotation: 0, includeBounds: false,
           callback: (value) => compact(value) },
  title: { display: true, text: "USD", color: color("muted"), padding: 0 },
});

function options(extra) {
  window.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  window.Chart.defaults.font.size = 11;
  return { animation: false, maintainAspectRatio: false, ...extra };
}

/// From 0 up to the margin, component by component; those of 0 are left to the table.
export function waterfall({ components, margin }) {
  const steps = [];
  let sum = 0;
  for (const { component, amount } of components) {
    if (amount !== 0) steps.push({ name: componentName(component), from: sum, to: sum + amount });
    sum += amount;
  }
  steps.push({ name: "Margin", from: 0, to: margin, isTotal: true });
  const label = `Margin by component: ${steps.map(({ name, from, to }) =>
    `${name} ${compact(to - from)}`).join(", ")} USD`;
  const chart = framed("waterfall", label, (canvas) => new window.Chart(canvas, {
    type: "bar",
    data: {
      labels: steps.map(({ name }) => name),
      datasets: [{
        data: steps.map(({ from, to }) => [from, to]),
        backgroundColor: steps.map(({ isTotal }) => color(isTotal ? "strong" : "accent")),
        barPercentage: 0.8, categoryPercentage: 0.9, minBarLength: 2,
      }],
    },
    options: options({
      indexAxis: "y",
      scales: {
        x: { ...usdAxis(), beginAtZero: true },
        y: { grid: { display: false, drawBorder: false }, ticks: { color: color("text") } },
      },
      plugins: {
        legend: { display: false },
        tooltip: { displayColors: false, callbacks: {
          label: ({ raw: [from, to] }) => `${usdCents(to - from)} USD` } },
      },
    }),
  }));
  chart.element.style.height = `${60 + 24 * steps.length}px`;
  return chart;
}

/// Vertical lines {value, text, colorName, side} with their text beside them, on that side where
/// there is room.
const linesPlugin = (lines) => ({
  id: "lines",
  afterDatasetsDraw({ ctx, chartArea: { left, right, top, bottom }, scales }) {
    ctx.save();
    ctx.font = `${window.Chart.defaults.font.size}px ${window.Chart.defaults.font.family}`;
    ctx.textBaseline = "top";
    for (const { value, colorName } of lines) {
      const x = scales.x.getPixelForValue(value);
      ctx.strokeStyle = color(colorName);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, bottom);
      ctx.stroke();
    }
    lines.forEach(({ value, text, colorName, side }, place) => {
      const x = scales.x.getPixelForValue(value);
      const width = ctx.measureText(text).width;
      const fits = { left: x - 4 - width > left, right: x + 4 + width < right };
      const isLeft = side === "left" ? fits.left || !fits.right : !fits.right && fits.left;
      const from = isLeft ? x - 4 - width : x + 4;
      const y = top + 2 + 15 * place;
      ctx.fillStyle = color("ground"); // another line may pass behind
      ctx.fillRect(from - 2, y - 1, width + 4, 14);
      ctx.fillStyle = color(colorName);
      ctx.fillText(text, from, y);
    });
    ctx.restore();
  },
});

/// Where bins are drawn: the outermost, which hold all that is beyond, as wide as their neighbours.
function drawnEdges(edges) {
  if (edges.length < 5) return edges;
  const drawn = [...edges];
  drawn[0] = Math.max(edges[0], 2 * edges[1] - edges[2]);
  drawn[edges.length - 1] = Math.min(edges.at(-1), 2 * edges.at(-2) - edges.at(-3));
  return drawn;
}

const share = (confidence) => `${Number((100 * confidence).toFixed(6))} %`;

export function lossChart(losses) {
  const { bin_edges: edges, counts, paths, confidence } = losses;
  const drawn = drawnEdges(edges);
  const lines = [
    { value: losses.value_at_risk, colorName: "call", side: "left",
      text: `VaR ${share(confidence)} ${compact(losses.value_at_risk)}` },
    { value: losses.expected_shortfall, colorName: "liquidate", side: "right",
      text: `ES ${compact(losses.expected_shortfall)}` },
  ];
  // Bins need not be of one width: heights are per mean width.
  const meanWidth = (drawn.at(-1) - drawn[0]) / counts.length;
  const height = (bin) => counts[bin] * meanWidth / (drawn[bin + 1] - drawn[bin] || meanWidth);
  const points = counts.map((_, bin) => ({ x: drawn[bin], y: height(bin), bin }));
  const tail = points.findLastIndex(({ x }) => x < losses.value_at_risk);
  if (tail >= 0) points.splice(tail + 1, 0, { ...points[tail], x: losses.value_at_risk });
  points.push({ x: drawn.at(-1), y: height(counts.length - 1), bin: counts.length - 1 });
  const label = `Distribution of losses over ${count(paths)} paths, from ${compact(edges[0])} to ` +
    `${compact(edges.at(-1))} USD: ${lines.map(({ text }) => text).join(", ")}`;
  return framed("losses", label, (canvas) => new window.Chart(canvas, {
    type: "line",
    data: { datasets: [{
      data: points, stepped: "before", fill: "origin", borderWidth: 1, pointRadius: 0,
      pointHitRadius: 4, borderColor: color("accent"), backgroundColor: color("accent-weak"),
      segment: {
        borderColor: ({ p0 }) =>
          p0.parsed.x >= losses.value_at_risk ? color("liquidate") : undefined,
        backgroundColor: ({ p0 }) =>
          p0.parsed.x >= losses.value_at_risk ? color("liquidate-weak") : undefined,
      },
    }] },
    options: options({
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: {
        x: { ...usdAxis(), type: "linear", min: Math.min(drawn[0], losses.value_at_risk),
             max: Math.max(drawn.at(-1), losses.expected_shortfall) },
        y: { beginAtZero: true, display: false },
      },
      plugins: {
        legend: { display: false },
        tooltip: { displayColors: false, callbacks: {
          title: ([{ raw: { bin } }]) => `${compact(edges[bin])} to ${compact(edges[bin + 1])} USD`,
          label: ({ raw: { bin } }) =>
            `${count(counts[bin])} paths, ${percent(counts[bin] / paths)}` } },
      },
    }),
    plugins: [linesPlugin(lines)],
  }));
}
