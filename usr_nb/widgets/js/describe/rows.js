/** The lines of the panel: one for each column, and what stands under it when it is opened. */
import { el } from "../lib/dom.js";
import { grouped } from "../lib/numbers.js";
import { bar, histogram, sparkline } from "./marks.js";
import { differenceText, distinctText, lineText, nullText, rangeText, share, typeText, valueText } from "./words.js";

/** @typedef {import("./words.js").Column} Column */
/** @typedef {import("./words.js").Entry} Entry */
/** @typedef {import("./words.js").Info} Info */
/** @typedef {import("./words.js").Stats} Stats */
/** @typedef {import("./words.js").Numbers} Numbers */
/** @typedef {{ tell: (text: string) => void, signal: AbortSignal }} Place */

/** The picture of a column's values, if there is one. @param {Column} column @param {Place} place */
function picture(column, place) {
  const { all, kept, info, name } = column;
  if (all.means) return sparkline(all.means, kept?.means ?? null, `Mean of each place of ${name}`);
  const numbers = all.numbers ?? all.lengths;
  if (!numbers?.histogram) return el("span");
  const some = (kept?.numbers ?? kept?.lengths)?.histogram ?? null;
  const what = all.numbers ? name : `Lengths of ${name}`;
  return histogram(numbers.histogram, some, {
    width: 160, height: 32, info: all.numbers ? info : {}, label: `Histogram of ${what}: ${rangeText(numbers, all.numbers ? info : {})}`, ...place,
  });
}

/**
 * Fills the line of a column.
 * @param {HTMLElement} line
 * @param {Entry} entry
 * @param {Column} column
 * @param {Place} place
 */
export function fillLine(line, entry, column, place) {
  const { all, kept, info } = column;
  const short = entry.namespace ? entry.name.slice(entry.namespace.length + 2) : entry.name;
  const type = el("span", { class: "desc-type", title: column.type, "data-testid": "type" }, typeText(column.type, all));
  if (info.unit) type.append(el("small", {}, info.unit));
  const nulls = el("span", { class: "desc-nulls", "data-testid": "nulls", title: `${grouped(all.nulls)} of ${grouped(all.rows)} null` },
    bar(entry.nulls, "all"), nullText(entry.nulls));
  const said = el("span", { class: "desc-said" }, el("span", { "data-testid": "all" }, lineText(all, info)));
  if (kept) {
    const by = differenceText(all, kept, info);
    said.append(el("span", { class: "kept", "data-testid": "kept" }, lineText(kept, info) + (by ? ` (${by})` : "")));
    const some = kept.rows ? (100 * kept.nulls) / kept.rows : 0;
    nulls.append(el("small", { class: "kept", "data-testid": "nulls-kept" }, nullText(some)));
  }
  line.replaceChildren(
    el("span", { class: "desc-name", title: entry.name },
      el("span", { "data-testid": "name" }, short), ...(info.label ? [el("small", {}, info.label)] : [])),
    type, nulls, picture(column, place), said,
  );
}

/** @param {string} name @param {string[]} cells @param {string} [testid] */
const fact = (name, cells, testid) =>
  el("tr", testid ? { "data-testid": testid } : {}, el("th", { scope: "row" }, name), ...cells.map((c) => el("td", {}, c)));

/** @param {Numbers} n @param {Info} info @returns {[string, string][]} */
function numberFacts(n, info) {
  const exact = n.exact === false ? " (about)" : "";
  return [
    ["min", valueText(n.min, info)], ["mean", valueText(n.mean, info)], ["max", valueText(n.max, info)], ["std", valueText(n.std, info)],
    ...(n.quantiles ?? []).map(([q, v]) => /** @type {[string, string]} */ ([`${Math.round(q * 100)} %${exact}`, valueText(v, info)])),
    ["values", grouped(n.count)], ["NaN", grouped(n.nan)], ["infinite", grouped(n.infinite)],
  ];
}

/** The numbers of all records and of those kept, side by side. @param {Numbers} all @param {Numbers | undefined} kept @param {Info} info @param {string} title */
function numberTable(all, kept, info, title) {
  const [a, b] = [numberFacts(all, info), kept ? numberFacts(kept, info) : null];
  // The records kept may have no quantiles at all: by name, not by place.
  const other = new Map(b ?? []);
  const head = el("tr", {}, el("th", {}, title), el("th", { scope: "col" }, "all"), ...(b ? [el("th", { scope: "col" }, "filtered")] : []));
  return el("table", { class: "desc-facts" }, head,
    ...a.map(([name, value]) => fact(name, b ? [value, other.get(name) ?? "–"] : [value], `fact-${name.split(" ")[0]}`)));
}

/** @param {Stats} all @param {Stats | null} kept @param {string} title */
function wordTable(all, kept, title) {
  const [words, some] = [all.words, kept?.words];
  if (!words) return null;
  const there = Math.max(1, all.rows - all.nulls);
  const counts = new Map((some?.top ?? []).map(([v, n]) => [v, n]));
  const rows = words.top.map(([v, n]) => fact(valueText(v), [`${grouped(n)} (${share(n, there)})`, ...(some ? [counts.has(v) ? grouped(counts.get(v) ?? 0) : "…"] : [])], "top"));
  const head = el("tr", {}, el("th", {}, title || "value"), el("th", { scope: "col" }, "all"), ...(some ? [el("th", { scope: "col" }, "filtered")] : []));
  return el("table", { class: "desc-facts" }, head,
    fact("different", [distinctText(words), ...(some ? [distinctText(some)] : [])], "fact-distinct"), ...rows);
}

/**
 * What is known of something and of what is inside it.
 * @param {Stats} all @param {Stats | null} kept @param {Info} info @param {string} title @param {Place} place
 * @returns {HTMLElement[]}
 */
function insides(all, kept, info, title, place) {
  const made = [];
  if (all.numbers) made.push(numberTable(all.numbers, kept?.numbers, info, title));
  const words = wordTable(all, kept, title);
  if (words) made.push(words);
  if (all.lengths) made.push(numberTable(all.lengths, kept?.lengths, {}, `${title ? `${title} ` : ""}length`));
  if (all.elements) {
    const items = insides(all.elements, kept?.elements ?? null, info, "items", place);
    made.push(...items);
  }
  for (const child of all.children ?? []) {
    const some = kept?.children?.find((c) => c.name === child.name) ?? null;
    made.push(el("div", { class: "desc-child", "data-testid": "child" },
      el("h5", {}, `.${child.name}`, el("small", {}, `${typeText(child.type, child)} · ${nullText(child.rows ? (100 * child.nulls) / child.rows : 0)} null`)),
      ...insides(child, some, {}, "", place)));
  }
  return made;
}

/** Everything that is known of a column. @param {Column} column @param {Place} place */
export function details(column, place) {
  const { info, all, kept } = column;
  const about = [
    ["column", column.name], ["type", column.type], ["unit", info.unit], ["better", info.better], ["model", info.model],
    ["reduction", info.reduction], ["owner", column.owner], ["namespace", column.description],
    ["example", all.example === null || all.example === undefined ? "" : valueText(all.example, info)],
  ].filter(([, v]) => v);
  const list = el("dl", { class: "desc-about" }, ...about.flatMap(([k, v]) => [el("dt", {}, String(k)), el("dd", {}, String(v))]));
  const note = column.cut ? [el("p", {}, "There is more than a message holds: ds.profile() has it whole.")] : [];
  return el("div", { class: "desc-details", "data-testid": "details" }, list, ...note, ...insides(all, kept, info, "", place));
}
