/** Nodes of the filter tree, as `usr_nb.filter.codec` writes them, and what a section holds of them. */

/**
 * @typedef {{ computed: string } | { column: string, path: (string | number)[], reducer: string | null }} Feature
 * @typedef {boolean | number | string | { time: string } | { float: string }} Value
 * @typedef {{ kind: "range", feature: Feature, low: Value | null, high: Value | null, low_open: boolean, high_open: boolean, outside: boolean }} Range
 * @typedef {{ kind: "in", feature: Feature, values: Value[] }} In
 * @typedef {{ kind: "null" | "nan", feature: Feature }} Lack
 * @typedef {{ kind: "text", feature: Feature, how: string, text: string, case: boolean }} TextTest
 * @typedef {{ kind: "regex", feature: Feature, pattern: string, case: boolean }} Regex
 * @typedef {{ kind: "motif", feature: Feature, motif: string, strand: string, mismatches: number, start: [number, number] | null, circular: boolean }} Motif
 * @typedef {{ kind: "not", of: Node }} Not
 * @typedef {{ kind: "and", of: Node[] }} And
 * @typedef {{ kind: "or", of: Node[] }} Or
 * @typedef {Range | In | Lack | TextTest | Regex | Motif | Not | And | Or} Node
 */

/**
 * What the controls of one section say: what is let in (any of it), and what is kept out.
 * @typedef {object} Choice
 * @property {Range | null} range
 * @property {Value[]} values Let in.
 * @property {Value[]} without Kept out.
 * @property {Lack["kind"][]} lacks Null or NaN, let in.
 * @property {Lack["kind"][]} notLacks Null or NaN, kept out.
 */

/** @param {Feature} feature */
export const keyOf = (feature) =>
  "computed" in feature ? `computed ${feature.computed}` : JSON.stringify([feature.column, feature.path, feature.reducer]);

/** @param {Node[]} chips @returns {Node} */
export const joined = (chips) => (chips.length === 1 && chips[0] ? chips[0] : { kind: "and", of: chips });

/** The filter as JSON text for the kernel. @param {Node[]} chips */
export const filterText = (chips) => JSON.stringify({ usr_filter: 1, filter: joined(chips) });

/** The chips of a filter: the tests that must all hold. @param {string} text @returns {Node[]} */
export function chipsOf(text) {
  /** @type {Node} */
  const node = JSON.parse(text).filter;
  return node.kind === "and" ? node.of : [node];
}

/** @param {Node} node @returns {Set<string>} */
function keysOf(node) {
  if (node.kind === "and" || node.kind === "or") return new Set(node.of.flatMap((n) => [...keysOf(n)]));
  if (node.kind === "not") return keysOf(node.of);
  return new Set([keyOf(node.feature)]);
}

/** The one feature that a chip is about, or null. @param {Node} node */
export function chipKey(node) {
  const keys = [...keysOf(node)];
  return keys.length === 1 ? (keys[0] ?? null) : null;
}

/** @returns {Choice} */
export const noChoice = () => ({ range: null, values: [], without: [], lacks: [], notLacks: [] });

/**
 * Adds what a chip says to a choice; false where the controls cannot say it.
 * @param {Choice} choice
 * @param {Node} node
 */
function take(choice, node) {
  if (node.kind === "not") {
    if (node.of.kind === "in" && choice.without.length === 0) choice.without = node.of.values;
    else if (node.of.kind === "null" || node.of.kind === "nan") choice.notLacks.push(node.of.kind);
    else return false;
    return true;
  }
  const parts = node.kind === "or" ? node.of : [node];
  if (choice.range !== null || choice.values.length > 0 || choice.lacks.length > 0 || parts.length === 0) return false;
  const kinds = parts.map((p) => p.kind);
  if (new Set(kinds).size < kinds.length || kinds.some((k) => !["range", "in", "null", "nan"].includes(k))) return false;
  for (const part of parts) {
    if (part.kind === "range") choice.range = part;
    else if (part.kind === "in") choice.values = part.values;
    else if (part.kind === "null" || part.kind === "nan") choice.lacks.push(part.kind);
  }
  return true;
}

/**
 * What the controls of a section show, and the chips of its feature that they cannot say.
 * @param {Node[]} chips
 * @param {string} key
 * @returns {{ choice: Choice, others: Node[] }}
 */
export function choiceOf(chips, key) {
  const choice = noChoice();
  const others = chips.filter((chip) => chipKey(chip) === key && !take(choice, chip));
  return { choice, others };
}

/**
 * The chips that say a choice.
 * @param {Feature} feature
 * @param {Choice} choice
 * @returns {Node[]}
 */
export function nodesOf(feature, choice) {
  /** @type {Node[]} */
  const any = [];
  if (choice.range) any.push(choice.range);
  if (choice.values.length > 0) any.push({ kind: "in", feature, values: choice.values });
  for (const kind of choice.lacks) any.push({ kind, feature });
  /** @type {Node[]} */
  const all = any.length > 1 ? [{ kind: "or", of: any }] : any;
  if (choice.without.length > 0) all.push({ kind: "not", of: { kind: "in", feature, values: choice.without } });
  for (const kind of choice.notLacks) all.push({ kind: "not", of: { kind, feature } });
  return all;
}

/**
 * The chips with another choice for a feature, at the place of the old one.
 * @param {Node[]} chips
 * @param {Feature} feature
 * @param {Choice} choice
 * @returns {Node[]}
 */
export function withChoice(chips, feature, choice) {
  const key = keyOf(feature);
  const { others } = choiceOf(chips, key);
  const mine = (/** @type {Node} */ chip) => chipKey(chip) === key && !others.includes(chip);
  const at = chips.findIndex(mine);
  const rest = chips.filter((chip) => !mine(chip));
  const place = at < 0 ? rest.length : chips.slice(0, at).filter((chip) => !mine(chip)).length;
  return [...rest.slice(0, place), ...nodesOf(feature, choice), ...rest.slice(place)];
}

/** @param {Value} a @param {Value} b */
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/**
 * Lets a value in, or keeps it out; what it was before goes. The same again takes it back.
 * @param {Choice} choice
 * @param {Value} value
 * @param {boolean} out
 * @returns {Choice}
 */
export function toggleValue(choice, value, out) {
  const has = (/** @type {Value[]} */ list) => list.some((v) => same(v, value));
  const less = (/** @type {Value[]} */ list) => list.filter((v) => !same(v, value));
  const was = has(out ? choice.without : choice.values);
  const values = less(choice.values);
  const without = less(choice.without);
  if (!was) (out ? without : values).push(value);
  return { ...choice, values, without };
}

/**
 * The same for null and NaN.
 * @param {Choice} choice
 * @param {Lack["kind"]} kind
 * @param {boolean} out
 * @returns {Choice}
 */
export function toggleLack(choice, kind, out) {
  const was = (out ? choice.notLacks : choice.lacks).includes(kind);
  const lacks = choice.lacks.filter((k) => k !== kind);
  const notLacks = choice.notLacks.filter((k) => k !== kind);
  if (!was) (out ? notLacks : lacks).push(kind);
  return { ...choice, lacks, notLacks };
}
