/** What the attach panel says and asks. */
import { grouped } from "../lib/numbers.js";

/** @typedef {{ source: string, name: string, type: string, registered: boolean, held: boolean, blank: number, take: boolean }} Column */

/**
 * What is asked of each column; the type of a registered one is the registry's business.
 * @param {Column[]} columns
 */
export const columnsAsked = (columns) =>
  columns.map((c) => ({ source: c.source, name: c.name, type: c.registered ? "" : c.type, take: c.take }));

/** @param {{ why: string, rows: number }} miss */
export const missText = (miss) => `${grouped(miss.rows)} ${miss.why}`;

/** Options of the command line, and the controls that are here instead of them. */
const CONTROLS = Object.entries({
  "--allow-missing": "“skip unmatched rows”", "--aggregate": "“repeated keys”", "--allow-overwrite": "“replace values that are there”",
  "--key sequence_ci": "“matched by” sequence_ci", "--key sequence": "“matched by” sequence", "--key-col": "“matched by”",
  "(register=True), or:": "(“register missing columns”), or:",
});

/** @param {string} hint */
export const inPanelWords = (hint) => CONTROLS.reduce((text, [flag, control]) => text.replaceAll(flag, control), hint);
