// Elements. Text is always inserted as text: nothing here, or anywhere in the page, parses HTML.

/// An element: attributes by name (a function is a listener, false and null leave one out),
/// children are nodes or text; null, undefined and false are left out.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== false && child != null));
  return element;
}

/// Sets an element's children only where their text differs, so that nothing is announced or
/// selected anew without need.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/// A table: columns are {title, cell(row), numeric, wide, header}, wide ones are left out on narrow
/// screens, a header column names its row. A row of the footer with isTotal stands out.
export function table(caption, columns, rows, footer = []) {
  const classes = (column) =>
    [column.numeric && "number", column.wide && "wide"].filter(Boolean).join(" ") || null;
  const body = (row) =>
    h("tr", { class: row.isTotal ? "total" : null }, columns.map((column) =>
      h(column.header ? "th" : "td",
        { class: classes(column), scope: column.header ? "row" : null }, column.cell(row))));
  return h("table", {},
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, columns.map((column) =>
      h("th", { scope: "col", class: classes(column) }, column.title)))),
    h("tbody", {}, rows.map(body)),
    footer.length > 0 && h("tfoot", {}, footer.map(body)));
}

/// Pairs of a term and what it is: text or a node.
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([term, value, wordClass]) =>
    h("div", {}, h("dt", {}, term), h("dd", { class: wordClass ?? null }, value))));
}

/// What the service refused, as it says it.
export function problem(error) {
  return h("div", { class: "problem", role: "alert" },
    h("p", {}, error.status ? `${error.status}: ${error.message}` : error.message),
    error.problems?.length > 0 && h("ul", {}, error.problems.map(({ where, message }) =>
      h("li", {}, where ? `${where}: ${message}` : message))));
}

/// Runs at once, then at most once every so often, the last time after the last call.
export function throttled(run, milliseconds) {
  let timer = null;
  let isWanted = false;
  const tick = () => {
    timer = null;
    if (isWanted) start();
  };
  const start = () => {
    isWanted = false;
    timer = setTimeout(tick, milliseconds);
    run();
  };
  const call = () => {
    if (timer === null) start();
    else isWanted = true;
  };
  call.cancel = () => {
    clearTimeout(timer);
    timer = null;
    isWanted = false;
  };
  return call;
}
