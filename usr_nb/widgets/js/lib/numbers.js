/** Numbers and lengths as people read them. */

/** @param {number} n */
export const grouped = (n) => n.toLocaleString("en-US");

/** @param {number} n @param {string} bioType */
export const lengthText = (n, bioType) => `${grouped(n)} ${bioType === "protein" ? "aa" : "nt"}`;

/** @param {number} bytes */
export const sizeText = (bytes) =>
  bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} KB`;

/**
 * Four significant digits; exponents only outside 1e-3…1e6.
 * @param {number | null | undefined} x
 */
export function scoreText(x) {
  if (x === null || x === undefined) return "–";
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size < 1e-3 || size >= 1e6) return x.toExponential(3);
  return Number(x.toPrecision(4)).toString();
}
