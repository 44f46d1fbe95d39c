/** Draws rows of letters on a canvas. */
import { colourOf, featureColour, inkOn } from "./colors.js";
import { origin, placed, rulerLabel, stack, ticks } from "./geometry.js";
import { letterAt, shortName } from "./record.js";
import { lengthText } from "../lib/numbers.js";

/** @typedef {import("./record.js").Row} Row */
/** @typedef {import("./geometry.js").Align} Align */
/**
 * @typedef {object} Scene
 * @property {number} width @property {number} height CSS pixels
 * @property {number} gutter @property {number} charWidth
 * @property {number} top First row, with a fraction. @property {number} left First coordinate, likewise.
 * @property {number} total
 * @property {Align} align @property {boolean} turned
 * @property {{ nt: string, aa: string }} colours
 * @property {boolean} features @property {[number, number] | null} track least and greatest value
 * @property {[number, number]} selected first and last selected row
 * @property {{ row: number, coordinate: number } | null} hover
 * @property {Record<"bg" | "fg" | "soft" | "line" | "panel" | "accent" | "accent-soft", string>} theme
 * @property {(at: number) => Row | null} rowAt
 */

export const RULER = 24;
export const BAND = 18;
const LANES = 22;
const TRACK = 26;
const PAD = 4;

/** @param {{ features: boolean, track: [number, number] | null }} scene */
export const rowHeight = (scene) => BAND + PAD + (scene.features ? LANES : 0) + (scene.track ? TRACK : 0);

/** @type {Map<string, HTMLCanvasElement>} */
const tiles = new Map();

/**
 * A letter on its colour, drawn once: text is slow to draw, pictures are quick.
 * @param {string} letter
 * @param {string | null} colour
 * @param {string} ink
 * @param {number} width
 * @param {number} ratio
 * @param {string} font
 */
function tile(letter, colour, ink, width, ratio, font) {
  const key = `${letter}|${colour}|${ink}|${width}|${ratio}`;
  let made = tiles.get(key);
  if (made === undefined) {
    if (tiles.size > 1000) tiles.clear();
    made = document.createElement("canvas");
    made.width = Math.ceil(width * ratio);
    made.height = Math.ceil(BAND * ratio);
    const ctx = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
    if (colour !== null) {
      ctx.fillStyle = colour;
      ctx.fillRect(0, 0, made.width, made.height);
    }
    ctx.fillStyle = ink;
    ctx.font = `${Math.min(13, width * 1.5) * ratio}px ${font}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText(letter, made.width / 2, made.height / 2 + ratio);
    tiles.set(key, made);
  }
  return made;
}

/**
 * Draws all of the scene.
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {number} ratio device pixels per CSS pixel
 * @param {string} mono
 * @param {string} sans
 */
export function paint(ctx, scene, ratio, mono, sans) {
  const { width, height, theme } = scene;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.fillStyle = theme.bg;
  ctx.fillRect(0, 0, width, height);
  const tall = rowHeight(scene);
  const first = Math.floor(scene.top);
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, RULER, width, height - RULER);
  ctx.clip();
  for (let at = first; at < scene.total; at++) {
    const y = RULER + (at - scene.top) * tall;
    if (y >= height) break;
    const row = scene.rowAt(at);
    if (at >= scene.selected[0] && at <= scene.selected[1]) {
      ctx.fillStyle = theme["accent-soft"];
      ctx.fillRect(0, y, width, tall);
    }
    if (row === null) drawMissing(ctx, scene, y);
    else drawRow(ctx, scene, row, at, y, ratio, mono, sans);
  }
  ctx.restore();
  drawRuler(ctx, scene, sans);
}

/** @param {CanvasRenderingContext2D} ctx @param {Scene} scene @param {number} y */
function drawMissing(ctx, scene, y) {
  ctx.fillStyle = scene.theme.line;
  ctx.fillRect(8, y + 6, scene.gutter - 16, 7);
  ctx.fillRect(scene.gutter, y + 6, scene.width - scene.gutter, 7);
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {Row} row
 * @param {number} at
 * @param {number} y
 * @param {number} ratio
 * @param {string} mono
 * @param {string} sans
 */
function drawRow(ctx, scene, row, at, y, ratio, mono, sans) {
  const { gutter, charWidth, theme } = scene;
  drawGutter(ctx, scene, row, at, y, sans);
  ctx.save();
  ctx.beginPath();
  ctx.rect(gutter, y, scene.width - gutter, rowHeight(scene));
  ctx.clip();
  const x0 = Math.floor(scene.left);
  const x1 = Math.ceil(scene.left + (scene.width - gutter) / charWidth);
  const refused = scene.turned && row.bio_type === "protein";
  for (let x = x0; x < x1 && !refused; x++) {
    const found = letterAt(row, scene.align, scene.turned, x);
    if (found === null) continue;
    const same = found.other !== null && found.other.toUpperCase() === found.letter.toUpperCase();
    const colour = same ? null : colourOf(found.letter, row.bio_type, scene.colours);
    const ink = same ? theme.soft : colour === null ? theme.fg : inkOn(colour);
    const picture = tile(same ? "·" : found.letter, colour, ink, charWidth, ratio, mono);
    ctx.drawImage(picture, gutter + (x - scene.left) * charWidth, y + 2, charWidth, BAND);
  }
  if (refused) {
    ctx.fillStyle = theme.soft;
    ctx.font = `italic 12px ${sans}`;
    ctx.fillText("a protein has no reverse complement", gutter + 6, y + BAND / 2 + 2);
  } else {
    for (const hit of row.hits ?? []) drawHit(ctx, scene, row, hit, y);
    if (scene.features) drawFeatures(ctx, scene, row, y + BAND + 3, sans);
    if (scene.track) drawTrack(ctx, scene, row, y + BAND + 2 + (scene.features ? LANES : 0), scene.track);
  }
  ctx.restore();
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {Row} row
 * @param {number} at
 * @param {number} y
 * @param {string} sans
 */
function drawGutter(ctx, scene, row, at, y, sans) {
  const { gutter, theme } = scene;
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, y, gutter - 6, rowHeight(scene));
  ctx.clip();
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  ctx.font = `11px ${sans}`;
  ctx.fillStyle = theme.soft;
  const size = `${lengthText(row.length, row.bio_type)}${scene.turned ? " RC" : ""}`;
  const wide = gutter >= 150;
  if (wide) ctx.fillText(size, gutter - 10, y + BAND / 2 + 2);
  const room = wide ? gutter - 22 - ctx.measureText(size).width : gutter - 14;
  ctx.textAlign = "left";
  const lost = row.anchor === null;
  ctx.fillStyle = lost ? theme.soft : theme.fg;
  ctx.font = `${lost ? "italic " : ""}12px ${sans}`;
  ctx.fillText(fitted(ctx, shortName(row), room), 8, y + BAND / 2 + 2);
  if (rowHeight(scene) > BAND + PAD) {
    ctx.font = `11px ${sans}`;
    ctx.fillStyle = theme.soft;
    const below = lost ? "not aligned: has none" : `row ${(at + 1).toLocaleString("en-US")}`;
    ctx.fillText(fitted(ctx, below, gutter - 14), 8, y + BAND + 10);
  }
  ctx.restore();
}

/** @param {CanvasRenderingContext2D} ctx @param {string} text @param {number} room */
function fitted(ctx, text, room) {
  if (ctx.measureText(text).width <= room) return text;
  let kept = text;
  while (kept.length > 1 && ctx.measureText(`${kept}…`).width > room) kept = kept.slice(0, -1);
  return `${kept}…`;
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {Row} row
 * @param {import("./geometry.js").Feature} hit
 * @param {number} y
 */
function drawHit(ctx, scene, row, hit, y) {
  const { from, to, way } = placed(hit, row, scene.align, scene.turned);
  const x = scene.gutter + (from - scene.left) * scene.charWidth;
  const wide = (to - from) * scene.charWidth;
  ctx.strokeStyle = scene.theme.fg;
  ctx.lineWidth = 2;
  ctx.strokeRect(x + 1, y + 2, wide - 2, BAND - 1);
  // A thick edge where the motif begins: left of a forward hit, right of a backward one.
  ctx.fillStyle = scene.theme.fg;
  ctx.fillRect(way < 0 ? x + wide - 4 : x, y + 1, 4, BAND + 1);
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {Row} row
 * @param {number} y
 * @param {string} sans
 */
function drawFeatures(ctx, scene, row, y, sans) {
  const features = row.features ?? [];
  const { lanes, count } = stack(features);
  // A row's height is fixed, so that scrolling is even: many lanes are thinner ones.
  const tall = Math.min(10, (LANES - 3) / Math.max(count, 1));
  features.forEach((feature, i) => {
    const { from, to, way } = placed(feature, row, scene.align, scene.turned);
    const x = scene.gutter + (from - scene.left) * scene.charWidth;
    const wide = (to - from) * scene.charWidth;
    const top = y + (lanes[i] ?? 0) * tall;
    const colour = featureColour(feature.label);
    const head = way === 0 ? 0 : Math.min(7, wide / 2);
    ctx.fillStyle = colour;
    ctx.beginPath();
    ctx.moveTo(x + (way < 0 ? head : 0), top);
    ctx.lineTo(x + wide - (way > 0 ? head : 0), top);
    ctx.lineTo(x + wide, way > 0 ? top + (tall - 1) / 2 : top);
    if (way <= 0) ctx.lineTo(x + wide, top + tall - 1);
    ctx.lineTo(x + wide - (way > 0 ? head : 0), top + tall - 1);
    ctx.lineTo(x + (way < 0 ? head : 0), top + tall - 1);
    if (way < 0) ctx.lineTo(x, top + (tall - 1) / 2);
    ctx.closePath();
    ctx.fill();
    if (tall >= 9 && wide > 24) {
      ctx.fillStyle = inkOn(colour);
      ctx.font = `9px ${sans}`;
      ctx.textBaseline = "middle";
      ctx.textAlign = "left";
      ctx.fillText(fitted(ctx, feature.label, wide - 2 * head - 2), x + (way < 0 ? head : 3), top + tall / 2);
    }
  });
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Scene} scene
 * @param {Row} row
 * @param {number} y
 * @param {[number, number]} scale
 */
function drawTrack(ctx, scene, row, y, [least, greatest]) {
  if (row.track === null) return;
  const span = greatest - least || 1;
  const tall = TRACK - 6;
  const zero = Math.min(1, Math.max(0, (0 - least) / span));
  const shift = origin(row, scene.align, scene.turned);
  ctx.fillStyle = scene.theme.line;
  ctx.fillRect(scene.gutter, y + tall - zero * tall, scene.width - scene.gutter, 1);
  ctx.fillStyle = scene.theme.accent;
  for (let i = 0; i < row.track.length; i++) {
    const value = row.track[i] ?? NaN;
    if (!Number.isFinite(value)) continue;
    const position = row.first + i;
    const x = scene.turned ? shift - position : position - shift;
    const level = Math.min(1, Math.max(0, (value - least) / span));
    const [low, high] = [Math.min(level, zero), Math.max(level, zero)];
    ctx.fillRect(
      scene.gutter + (x - scene.left) * scene.charWidth + 0.5, y + tall - high * tall,
      Math.max(1, scene.charWidth - 1), Math.max(1, (high - low) * tall),
    );
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {Scene} scene @param {string} sans */
function drawRuler(ctx, scene, sans) {
  const { gutter, charWidth, theme } = scene;
  ctx.fillStyle = theme.panel;
  ctx.fillRect(0, 0, scene.width, RULER);
  ctx.fillStyle = theme.line;
  ctx.fillRect(0, RULER - 1, scene.width, 1);
  ctx.fillRect(gutter - 3, 0, 1, scene.height);
  ctx.save();
  ctx.beginPath();
  ctx.rect(gutter - 2, 0, scene.width - gutter + 2, RULER);
  ctx.clip();
  ctx.font = `11px ${sans}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "center";
  const x1 = Math.ceil(scene.left + (scene.width - gutter) / charWidth);
  for (const x of ticks(scene.align, Math.floor(scene.left), x1, charWidth)) {
    const middle = gutter + (x - scene.left + 0.5) * charWidth;
    ctx.fillStyle = theme.soft;
    ctx.fillRect(middle, RULER - 6, 1, 5);
    const label = rulerLabel(scene.align, x);
    // The first label would be cut in half by the edge.
    const half = ctx.measureText(label).width / 2;
    ctx.fillText(label, Math.max(middle, gutter + half), RULER / 2 - 2);
  }
  if (scene.hover) {
    ctx.fillStyle = theme.accent;
    ctx.fillRect(gutter + (scene.hover.coordinate - scene.left) * charWidth, RULER - 4, charWidth, 3);
  }
  ctx.restore();
}
