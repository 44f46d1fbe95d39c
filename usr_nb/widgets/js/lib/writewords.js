/** Plans in words. */
import { grouped } from "./numbers.js";

const VERBS = /** @type {Record<string, string>} */ ({ add: "writes", replace: "replaces", retire: "takes away", archive: "puts aside" });

/**
 * @param {{ kind: string, path: string, files: number, bytes: number | null }} file
 * @param {(bytes: number) => string} size
 */
export function fileLine(file, size) {
  const many = file.files > 1 ? `${grouped(file.files)} files ` : "";
  const about = file.kind === "add" || file.kind === "replace" ? "about " : "";
  return `${VERBS[file.kind] ?? file.kind} ${many}${file.path}${file.bytes === null ? "" : ` (${about}${size(file.bytes)})`}`;
}

/** @param {{ stage: string, done: number, total: number | null, unit: string } | null} p */
export function progressText(p) {
  if (p === null) return "waiting for the dataset…";
  return p.total === null ? `${p.stage}: ${grouped(p.done)} ${p.unit}` : `${p.stage}: ${grouped(p.done)} of ${grouped(p.total)} ${p.unit}`;
}

/** @param {number} part @param {number} whole */
export const share = (part, whole) => (whole === 0 ? "–" : `${((100 * part) / whole).toFixed(1)} %`);
