// What trades would do to an account's margin.

import { send } from "./api.js";
import { instrumentField } from "./combobox.js";
import { facts, h, problem, table } from "./dom.js";
import { componentName, duration, ratio, signed, time, count, usd, usdCents } from "./format.js";

const QUANTITY = "[\\-+−]?[0-9]{1,18}([.][0-9]{1,12})?";
let made = 0;

export function whatIfForm(account, frame) {
  const legs = h("div", { class: "legs" });
  const answer = h("div", { class: "answer" });
  const button = h("button", { type: "submit" }, "What if");
  let asking = null;

  function addLeg(isFocused) {
    const number = made += 1;
    const { element, field } = instrumentField("Instrument");
    const quantity = h("input", {
      id: `quantity-${number}`, inputmode: "text", required: true, autocomplete: "off",
      pattern: QUANTITY, title: "A number of contracts such as 2 or -0.5, at most 12 decimals",
      placeholder: "-0.5",
    });
    const remove = h("button", { type: "button", click: () => {
      leg.remove();
      label();
      legs.querySelector("input")?.focus();
    } }, "Remove");
    const leg = h("fieldset", { class: "leg" }, h("legend", { class: "unseen" }), element,
      h("div", {}, h("label", { for: quantity.id }, "Quantity"), quantity), remove);
    leg.trade = () => ({ instrument: field.value.trim(),
                         quantity: quantity.value.trim().replace("−", "-").replace(/^\+/, "") });
    legs.append(leg);
    label();
    if (isFocused) field.focus();
  }

  function label() {
    [...legs.children].forEach((leg, place) => {
      leg.querySelector("legend").textContent = `Leg ${place + 1}`;
      const remove = leg.querySelector("button");
      remove.setAttribute("aria-label", `Remove leg ${place + 1}`);
      remove.disabled = legs.children.length === 1;
    });
  }

  async function ask(event) {
    event.preventDefault();
    asking?.abort();
    const here = asking = new AbortController();
    const trades = [...legs.children].map((leg) => leg.trade());
    answer.setAttribute("aria-busy", "true");
    try {
      const value = await send("POST", "/v1/whatif", { account, trades }, here.signal);
      answer.replaceChildren(answerOf(value));
      frame.announce(`Margin ${usdCents(value.before.margin)} before, ` +
        `${usdCents(value.after.margin)} after, ${signed(value.difference.margin)} USD`);
    } catch (error) {
      if (error.name !== "AbortError") answer.replaceChildren(problem(error));
    }
    if (asking === here) answer.removeAttribute("aria-busy");
  }

  addLeg(false);
  return h("section", { class: "whatif", "aria-labelledby": "whatif-title" },
    h("h2", { id: "whatif-title" }, "What if"),
    h("form", { submit: ask, autocomplete: "off" }, legs,
      h("p", { class: "actions" }, button,
        h("button", { type: "button", click: () => addLeg(true) }, "Add a leg"))),
    answer);
}

function answerOf({ before, after, difference, ...asked }) {
  // Three columns of large amounts with cents are wider than a phone.
  const isLarge = [before, after].some(({ margin, equity = 0 }) =>
    Math.max(margin, Math.abs(equity)) >= 1e6);
  const money = isLarge ? usd : usdCents;
  const row = (name, from, to, by) =>
    ({ name, from: money(from), to: money(to), by: signed(by ?? to - from, money) });
  const differences = new Map(difference.components.map(({ component, amount }) =>
    [component, amount]));
  const components = before.components.map(({ component, amount }, place) =>
    row(componentName(component), amount, after.components[place].amount,
        differences.get(component)));
  const both = (name, key) =>
    before[key] !== undefined && row(name, before[key], after[key]);
  return h("div", {},
    table("Margin before and after, USD", [
      { title: "Component", header: true, cell: ({ name }) => name },
      { title: "Before", numeric: true, cell: ({ from }) => from },
      { title: "After", numeric: true, cell: ({ to }) => to },
      { title: "Difference", numeric: true, cell: ({ by }) => by },
    ], components, [
      { ...row("Margin", before.margin, after.margin, difference.margin), isTotal: true },
      row("Expected shortfall", before.expected_shortfall, after.expected_shortfall),
      both("Maintenance margin", "maintenance_margin"),
      both("Equity", "equity"),
      before.margin_ratio !== undefined &&
        { name: "Margin ratio", from: ratio(before), to: ratio(after), by: "" },
      before.status !== undefined &&
        { name: "Status", from: before.status, to: after.status, by: "" },
    ].filter(Boolean)),
    facts([
      ["Standard error of the difference of base", usdCents(difference.standard_error)],
      ["Marks", `as of ${time(asked.as_of)}, market #${count(asked.market_sequence)}`],
      ["Positions", `#${count(asked.position_sequence)}`],
      ["Computed", `${count(asked.paths)} paths in ${duration(asked.seconds)}`],
    ]));
}
