/** What the sync panel says. */

const STATES = /** @type {Record<string, string>} */ ({
  same: "Both copies are equal.", ahead: "This copy is ahead.", behind: "This copy is behind.",
  diverged: "Both copies have changes.", only_here: "The dataset is only here.", only_there: "The dataset is only there.",
});

/** @param {string} state */
export const stateText = (state) => STATES[state] ?? state;

/**
 * What a choice means in words that name the loser.
 * @param {"mine" | "theirs"} keep @param {string[]} choices of the conflict
 */
export function choiceText(keep, choices) {
  const flag = keep === "mine" ? "local" : "remote";
  const said = choices.find((c) => c.includes(`--prefer ${flag}`) || c.includes(`prefer ${flag}`));
  const start = keep === "mine" ? "Keep mine" : "Take theirs";
  return said === undefined ? start : `${start} (${said.replace(/^--prefer \w+:?\s*/, "")})`;
}
