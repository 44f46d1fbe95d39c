/** The panel *sync*: what is only here, what is only there, what needs a choice; then one direction. */
import "../lib/base.css";
import "./sync.css";
import { el, setOptions } from "../lib/dom.js";
import { makeFrame, ready } from "../lib/frame.js";
import { sizeText } from "../lib/numbers.js";
import { table } from "../lib/tables.js";
import { Writer } from "../lib/write.js";
import { choiceText, stateText } from "./words.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("../lib/wire.js").Model} Model */

/** @param {{ model: Model, el: HTMLElement }} host */
function render(host) {
  const frame = makeFrame(host, { name: "sync", label: "Sync" });
  const { scope, wire } = frame;
  const title = el("span", { class: "usr-nb-title" });
  const remote = el("select", { "data-testid": "remote", "aria-label": "The remote" });
  const look = el("button", { type: "button", "data-testid": "look" }, "Look");
  const state = el("div", { class: "sy-state", role: "status", "data-testid": "state" });
  const sides = el("div", { class: "sy-sides" });
  const conflicts = el("div", {});
  const pull = el("button", { type: "button", "data-testid": "pull" }, "Plan a pull: change this copy");
  const push = el("button", { type: "button", "data-testid": "push" }, "Plan a push: change theirs");
  const goRow = el("div", { class: "sy-go", hidden: true }, pull, push);
  const steps = el("div", {});
  const writer = new Writer(frame, host.model, { panel: "sync", replan: () => void compare(keep), done: () => void compare(""), ask });
  const planRow = el("div", { hidden: true }, writer.element);
  frame.body.append(el("div", { class: "usr-nb-bar" }, title, el("label", {}, "with", remote), look), writer.earlier, state, conflicts, sides, goRow, steps, planRow);
  let keep = "";
  /** @type {any} */
  let found = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  scope.onClose(() => clearTimeout(timer));

  /** @param {string} chosen mine, theirs, or nothing */
  async function compare(chosen) {
    if (remote.value === "") return;
    keep = chosen;
    found = null;
    planRow.hidden = writer.receipt.hidden;
    goRow.hidden = true;
    state.textContent = `looking at both copies (${remote.value})…`;
    look.disabled = true;
    try {
      const reply = await wire.request("look", { remote: remote.value, keep });
      if (reply !== null) follow(reply.data);
    } catch (error) {
      look.disabled = false;
      state.textContent = "";
      frame.fail(error);
    }
  }

  /** @param {any} answer */
  function follow(answer) {
    if (scope.signal.aborted) return;
    if (answer.state === "running") {
      timer = setTimeout(() => void wire.request("looked").then((r) => r !== null && follow(r.data), frame.fail), limits.JOB_MS);
      return;
    }
    look.disabled = false;
    state.textContent = "";
    if (answer.state === "failed") return frame.fail(new Error(answer.error.message + (answer.error.hint ? `\n${answer.error.hint}` : "")));
    if (answer.state === "done") draw(answer.found);
  }

  /** Asks a remote what came of a push. @param {string} token @param {string} name @returns {Promise<any>} */
  async function ask(token, name) {
    let reply = await wire.request("ask", { token, remote: name });
    while (reply?.data.state === "running" && !scope.signal.aborted) {
      await new Promise((go) => setTimeout(go, limits.JOB_MS));
      reply = await wire.request("asked");
    }
    if (reply?.data.state === "failed") throw new Error(`${reply.data.error.message}\n${reply.data.error.hint}`.trim());
    return reply?.data.found ?? null;
  }

  /** @param {any} answer */
  function draw(answer) {
    found = answer;
    frame.clear();
    state.textContent = stateText(answer.state);
    frame.live.textContent = state.textContent;
    const list = (/** @type {string} */ name, /** @type {string} */ head, /** @type {any} */ d) => el("div", { class: "sy-side", "data-testid": name }, el("h4", {}, head),
      d.nothing ? el("span", {}, "nothing") : el("ul", {}, ...d.lines.filter((/** @type {string} */ l) => !l.startsWith("CONFLICT") && !l.startsWith("  ")).map((/** @type {string} */ l) => el("li", {}, l))),
      ...d.remarks.map((/** @type {string} */ r) => el("small", {}, r)));
    sides.replaceChildren(list("there", `A pull would bring here`, answer.pull), list("here", `A push would bring to ${answer.remote}`, answer.push));
    // A file is one choice, whichever way it goes.
    /** @type {Map<string, any>} */
    const open = new Map([...answer.push.conflicts, ...answer.pull.conflicts].map((c) => [c.path, c]));
    conflicts.replaceChildren(...[...open.values()].map((c) => {
      const buttons = /** @type {const} */ (["mine", "theirs"]).map((side) => {
        const b = el("button", { type: "button", "data-testid": `keep-${side}` }, choiceText(side, c.choices));
        b.addEventListener("click", () => void compare(side));
        return b;
      });
      return el("div", { class: "sy-conflict", role: "alert", "data-testid": "conflict" }, el("b", {}, c.what), el("div", {}, ...buttons));
    }));
    pull.disabled = answer.pull.nothing || answer.pull.conflicts.length > 0;
    push.disabled = answer.push.nothing || answer.push.conflicts.length > 0;
    goRow.hidden = answer.state === "same";
    // Who looks at a remote may as well be told what came of the push that nobody saw end.
    if (writer.past.open?.remote === answer.remote) void writer.past.ask();
    const all = [...answer.pull.steps.map((/** @type {any} */ s) => ["pull", s]), ...answer.push.steps.map((/** @type {any} */ s) => ["push", s])];
    steps.replaceChildren(...(all.length === 0 ? [] : [el("details", { class: "sy-steps" }, el("summary", {}, "files, one by one"),
      el("div", { class: "w-scroll" }, table(["", "what", "class", "file", "rows", "size", "why"], all.map(([d, s]) => [d, s.kind, s.class, s.path, s.rows, s.bytes === null ? null : sizeText(s.bytes), s.why]), "steps")))]));
  }

  /** @param {"pull" | "push"} direction */
  async function plan(direction) {
    if (found === null) return;
    planRow.hidden = false;
    writer.show(null);
    try {
      const reply = await wire.request("plan", { direction });
      if (reply === null) return;
      if (reply.data.plan === null) return frame.fail(new Error(`${reply.data.refused.message}\n${reply.data.refused.hint}`));
      frame.clear();
      writer.show(reply.data.plan);
    } catch (error) {
      frame.fail(error);
    }
  }

  scope.listen(look, "click", () => void compare(""));
  scope.listen(remote, "change", () => void compare(""));
  scope.listen(pull, "click", () => void plan("pull"));
  scope.listen(push, "click", () => void plan("push"));

  async function begin() {
    try {
      const reply = await wire.request("place");
      if (reply === null) return;
      const place = reply.data;
      title.replaceChildren("Sync ", place.dataset);
      setOptions(remote, [{ value: "", text: "a remote…" }, ...place.remotes.map((/** @type {string} */ r) => ({ value: r, text: r }))]);
      remote.value = place.remote;
      if (place.why !== "") frame.note(place.why);
      ready(frame);
      await writer.begin(place);
      // Looking changes nothing, so it is done at once.
      if (place.remote !== "" && !writer.running) void compare("");
    } catch (error) {
      frame.fail(error);
    }
  }
  void begin();
  return () => scope.close();
}

export default { render };
