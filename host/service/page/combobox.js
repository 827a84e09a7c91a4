// A text field that completes the name of an instrument (the combobox pattern of WAI-ARIA).

import { read } from "./api.js";
import { h, setText, throttled } from "./dom.js";

const CHOICES = 12;
let made = 0;

/// {element, field}: field's value is what was typed or chosen.
export function instrumentField(label) {
  const id = `instrument-${made += 1}`;
  let names = [];
  let active = -1;
  let reading = null;

  const list = h("ul", { id: `${id}-list`, role: "listbox", "aria-label": label, hidden: true,
                         tabindex: "-1" /* what scrolls could be tabbed to */ });
  const found = h("span", { class: "unseen", role: "status" });
  const field = h("input", {
    id, type: "text", required: true, autocomplete: "off", spellcheck: "false",
    autocapitalize: "off", role: "combobox", "aria-autocomplete": "list",
    "aria-expanded": "false", "aria-controls": `${id}-list`,
    input: throttled(() => search(), 120), keydown: onKey, blur: close,
  });
  const element = h("div", { class: "combobox" },
    h("label", { for: id }, label), field, list, found);

  async function search() {
    reading?.abort();
    if (document.activeElement !== field) return;
    const here = reading = new AbortController();
    const query = new URLSearchParams({ search: field.value.trim(), limit: CHOICES });
    try {
      const answer = await read(`/v1/instruments?${query}`, here.signal);
      if (here.signal.aborted) return;
      show(answer.instruments.map(({ instrument }) => instrument), answer.matched);
    } catch {
      close(); // without completion a name can still be typed
    }
  }

  function show(newNames, matched) {
    const marked = names[active];
    names = newNames;
    list.replaceChildren(...names.map((name, place) =>
      h("li", { id: `${id}-${place}`, role: "option", "aria-selected": "false",
                mousedown: (event) => {
                  event.preventDefault(); // the field keeps the focus
                  choose(place);
                } }, name)),
      ...(matched > names.length
        ? [h("li", { class: "muted", role: "presentation" },
             `${matched - names.length} more: type on`)] : []));
    list.hidden = names.length === 0;
    field.setAttribute("aria-expanded", String(!list.hidden));
    setText(found, names.length ? `${matched} found` : "none found");
    mark(names.indexOf(marked));
  }

  function mark(place) {
    active = place;
    [...list.querySelectorAll("[role=option]")].forEach((option, number) => {
      option.setAttribute("aria-selected", String(number === place));
      if (number === place) option.scrollIntoView({ block: "nearest" });
    });
    if (place >= 0) field.setAttribute("aria-activedescendant", `${id}-${place}`);
    else field.removeAttribute("aria-activedescendant");
  }

  function choose(place) {
    field.value = names[place];
    close();
  }

  function close() {
    reading?.abort();
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  function onKey(event) {
    if (list.hidden) {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        search();
      }
      return;
    }
    const last = names.length - 1;
    if (event.key === "ArrowDown") mark(active >= last ? 0 : active + 1);
    else if (event.key === "ArrowUp") mark(active <= 0 ? last : active - 1);
    else if (event.key === "Enter" && active >= 0) choose(active);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  }

  return { element, field };
}
