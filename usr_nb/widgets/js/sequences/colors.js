/** Colours of letters. Nucleotides: Jalview, IGV, colour-blind safe; amino acids: three schemes. */

/** @typedef {Record<string, string>} Scheme letter (upper case) → colour */

/** @param {Record<string, string>} groups letters → colour @returns {Scheme} */
function spread(groups) {
  /** @type {Scheme} */
  const scheme = {};
  for (const [letters, colour] of Object.entries(groups))
    for (const letter of letters) scheme[letter] = colour;
  return scheme;
}

/** @type {Record<string, { label: string, scheme: Scheme }>} */
export const NUCLEOTIDES = {
  jalview: { label: "Jalview", scheme: spread({ A: "#64f73f", C: "#ffb340", G: "#eb413c", TU: "#3c88ee" }) },
  igv: { label: "IGV", scheme: spread({ A: "#00c800", C: "#0000c8", G: "#d17105", TU: "#ff0000" }) },
  // Okabe & Ito's palette, with a wide spread of lightness as well.
  safe: { label: "colour-blind safe", scheme: spread({ A: "#009e73", C: "#0072b2", G: "#f0e442", TU: "#d55e00" }) },
};

// Kyte & Doolittle 1982, from -4.5 (blue) to 4.5 (red), as Jalview draws it.
/** @type {Record<string, number>} */
const HYDROPATHY = {
  I: 4.5, V: 4.2, L: 3.8, F: 2.8, C: 2.5, M: 1.9, A: 1.8, G: -0.4, T: -0.7, S: -0.8, W: -0.9,
  Y: -1.3, P: -1.6, H: -3.2, E: -3.5, Q: -3.5, D: -3.5, N: -3.5, K: -3.9, R: -4.5,
};
/** @param {number} part 0 to 1 */
const hex = (part) => Math.round(255 * part).toString(16).padStart(2, "0");

/** @type {Record<string, { label: string, scheme: Scheme }>} */
export const AMINO_ACIDS = {
  // The colours that Clustal X gives a residue in a well conserved column.
  clustal: {
    label: "Clustal",
    scheme: spread({
      AILMFWV: "#80a0f0", KR: "#f01505", DE: "#c048c0", NQST: "#15c015", C: "#f08080", G: "#f09048",
      P: "#c0c000", HY: "#15a4a4",
    }),
  },
  zappo: {
    label: "Zappo",
    scheme: spread({
      ILVAM: "#ffafaf", FWY: "#ffc800", KRH: "#6464ff", DE: "#ff0000", STNQ: "#00ff00", PG: "#ff00ff",
      C: "#ffff00",
    }),
  },
  hydrophobicity: {
    label: "hydrophobicity",
    scheme: Object.fromEntries(
      Object.entries(HYDROPATHY).map(([letter, h]) => [letter, `#${hex((h + 4.5) / 9)}00${hex((4.5 - h) / 9)}`]),
    ),
  },
};

/**
 * Returns the colour behind a letter, or null for one that has none (N, X, a gap).
 * @param {string} letter
 * @param {string} bioType
 * @param {{ nt: string, aa: string }} chosen
 */
export function colourOf(letter, bioType, chosen) {
  const schemes = bioType === "protein" ? AMINO_ACIDS : NUCLEOTIDES;
  const name = bioType === "protein" ? chosen.aa : chosen.nt;
  return schemes[name]?.scheme[letter.toUpperCase()] ?? null;
}

/**
 * Returns black or white, whichever is the better read on a colour (WCAG relative luminance).
 * @param {string} colour `#rrggbb`
 */
export function inkOn(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const c = parseInt(colour.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * (r ?? 0) + 0.7152 * (g ?? 0) + 0.0722 * (b ?? 0);
  return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? "#000000" : "#ffffff";
}

const FEATURE_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5cc4", "#8c6d31", "#4b7f9e", "#b0445a"];

/**
 * The colour of a feature: the same label has the same one in every row and session.
 * @param {string} label
 */
export function featureColour(label) {
  let hash = 7;
  for (const c of label) hash = (hash * 31 + (c.codePointAt(0) ?? 0)) % 1_000_003;
  return FEATURE_COLOURS[hash % FEATURE_COLOURS.length] ?? "#0072b2";
}
