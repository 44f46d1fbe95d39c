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

/**
 * What became of something that was begun and whose end nobody saw.
 * @param {{ button: string, at: string, columns?: string[], asked?: any }} begun
 * @param {{ is_in: boolean | null, remote: string, operation_id: string, counts: Record<string, number> | null, registered: string[] }} found
 */
export function earlierText(begun, found) {
  const what = `“${begun.button}” of ${new Date(begun.at).toLocaleString()}`;
  if (found.is_in === null) return `${what} was begun, and nobody saw it end. Only ${found.remote} knows whether it arrived.`;
  if (found.is_in) {
    const counted = Object.entries(found.counts ?? {}).map(([k, v]) => `${k.replaceAll("_", " ")} ${grouped(Number(v))}`).join(", ");
    const where = found.remote === "" ? "" : ` at ${found.remote}`;
    return `${what} is in${where}${counted ? `: ${counted}` : ""}${found.operation_id ? ` (${found.operation_id})` : ""}.`;
  }
  const nothing = found.remote === "" ? "nothing of it was written" : `nothing of it was installed at ${found.remote}; the next push goes on from what arrived`;
  const many = found.registered.length;
  if (many === 0) return `${what} is not in: it was interrupted, and ${nothing}.`;
  const names = `${found.registered.slice(0, 5).join(", ")}${many > 5 ? `, … (${grouped(many)})` : ""}`;
  return `${what} is not in: it was interrupted after it had registered ${names}, and before any value was written. A registered column without values harms nothing.`;
}
