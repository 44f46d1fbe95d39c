/** Numbers and lengths as people read them. */

/** @param {number} n */
export const grouped = (n) => n.toLocaleString("en-US");

/** @param {number} n @param {string} bioType */
export const lengthText = (n, bioType) => `${grouped(n)} ${bioType === "protein" ? "aa" : "nt"}`;

/** @param {number} bytes */
export const sizeText = (bytes) =>
  bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;

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

/**
 * A number in a format of columns.yaml, which is Python's: `.3f`, `.4g`, `,d`, `.1%`, `+.2e`.
 * @param {number} x
 * @param {string} format
 */
export function formatted(x, format) {
  const parts = /^(\+?)(,?)(?:\.(\d{1,2}))?([defg%])$/.exec(format);
  if (parts === null || !Number.isFinite(x)) return scoreText(x);
  const [, plus, comma, digits, kind] = parts;
  const places = digits === undefined ? 6 : Number(digits);
  const size = Math.abs(kind === "%" ? x * 100 : x);
  let text = kind === "d" ? String(Math.round(size))
    : kind === "e" ? exponent(size.toExponential(places))
    : kind === "g" ? general(size, places || 1) : size.toFixed(places);
  if (comma) {
    const ends = text.search(/[.e]|$/);
    text = text.slice(0, ends).replace(/\B(?=(\d{3})+$)/g, ",") + text.slice(ends);
  }
  return `${x < 0 || Object.is(x, -0) ? "-" : plus}${text}${kind === "%" ? "%" : ""}`;
}

/** Python writes at least two digits of an exponent. @param {string} text */
const exponent = (text) => text.replace(/e([+-])(\d)$/, "e$10$2");

/** @param {number} size @param {number} digits */
function general(size, digits) {
  const power = size === 0 ? 0 : Number(size.toExponential(digits - 1).split("e")[1]);
  if (power < -4 || power >= digits)
    return exponent(size.toExponential(digits - 1).replace(/\.?0+(?=e)/, ""));
  const text = size.toFixed(digits - 1 - power);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
