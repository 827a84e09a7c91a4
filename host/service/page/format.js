// Figures as text. Null is a dash; a minus is a minus sign.

const grouped = (digits) =>
  new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const whole = grouped(0);
const cents = grouped(2);
const tenths = grouped(1);
const compactUsd =
  new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

const written = (format, value) => {
  if (value === null || value === undefined) return "–";
  const text = format.format(value);
  // What is rounded to nothing has no sign.
  return /^-[0.,]*$/.test(text) ? text.slice(1) : text.replace("-", "−");
};

export const count = (value) => written(whole, value);
export const usd = (value) => written(Math.abs(value) >= 1e9 ? compactUsd : whole, value);
export const usdCents = (value) => written(cents, value);
export const compact = (value) => written(compactUsd, value);
export const signed = (value, money = usdCents) => {
  const text = money(value);
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text;
};
export const percent = (share) =>
  share === null || share === undefined ? "–" : `${written(tenths, 100 * share)} %`;

/// maintenance margin / equity, of something with both.
export const ratio = ({ margin_ratio: value, equity }) =>
  value === null && typeof equity === "number" ? "no equity"
    : value >= 100 ? "> 9,999 %" : percent(value);

/// Decimal text, exact, with its digits in groups.
export const quantity = (text) => {
  const [, sign, integer, fraction] = /^(-?)(\d+)(\.\d+)?$/.exec(text) ?? [null, "", text, ""];
  return (sign && "−") + integer.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction ?? "");
};

export const duration = (seconds) => {
  if (seconds === 0) return "0 s";
  if (seconds < 0.95) return `${Math.ceil(1000 * seconds)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};

export const time = (text) => (text ? text.replace("T", " ").replace("Z", " UTC") : "–");

export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export const isFresh = ({ market_updates: updates, position_changes: changes }) =>
  updates === 0 && changes === 0;

export const freshness = (staleness) =>
  isFresh(staleness) ? "fresh" : `${duration(staleness.seconds)} behind`;

export const componentName = (component) => {
  const words = component.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
};
