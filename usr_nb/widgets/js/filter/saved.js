/** Filters saved with the dataset: choose one, save one, take one away. A write is asked about first. */
import { el, setOptions } from "../lib/dom.js";
import { button } from "./section.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {{ name: string, line: string, problem: string }} Saved */

/**
 * @param {{ frame: import("../lib/frame.js").Frame, filter: () => string, loaded: (text: string) => void }} options
 */
export function savedFilters({ frame, filter, loaded }) {
  const { scope, wire } = frame;
  const which = el("select", { "data-testid": "saved", "aria-label": "Filters saved with the dataset" });
  const name = el("input", { type: "text", "data-testid": "save-name", "aria-label": "Name to save the filter under", placeholder: "name to save under", maxlength: limits.FILTER_NAME, size: 16 });
  const save = button("save", "Save …", "Save the filter with the dataset, under this name");
  const remove = button("remove-saved", "Delete …", "Take the chosen saved filter away");
  const says = el("span", { "data-testid": "question" });
  const yes = button("confirm", "Save", "Yes, write it");
  const no = button("cancel", "Cancel", "No, write nothing");
  const question = el("div", { class: "flt-question", role: "alertdialog", "aria-label": "Write to the dataset?", hidden: true, "data-testid": "ask" }, says, yes, no);
  const root = el("span", { class: "flt-saved" }, which, name, save, remove);
  let token = "";

  /** @param {Saved[]} found */
  const show = (found) => {
    setOptions(which, [{ value: "", text: found.length ? "saved filters" : "no saved filter" },
      ...found.map((f) => ({ value: f.name, text: f.problem ? `${f.name} (cannot be read)` : f.name }))]);
    which.disabled = found.length === 0;
    remove.disabled = which.value === "";
  };
  const shut = () => {
    question.hidden = true;
    token = "";
  };

  /** @param {string} op @param {Record<string, unknown>} args @param {string} verb */
  async function ask(op, args, verb) {
    try {
      const reply = await wire.request(op, args);
      if (reply === null) return;
      frame.clear();
      token = reply.data.token;
      says.textContent = reply.data.says;
      yes.textContent = verb;
      question.hidden = false;
      yes.focus();
    } catch (error) {
      frame.fail(error);
    }
  }

  async function confirm() {
    const given = token;
    // A second press finds no token.
    shut();
    if (given === "") return;
    try {
      const reply = await wire.request("confirm", { token: given });
      if (reply === null) return;
      show(reply.data.saved);
      name.value = "";
      frame.live.textContent = `Written: ${reply.data.name}`;
    } catch (error) {
      frame.fail(error);
    }
  }

  scope.listen(which, "change", async () => {
    remove.disabled = which.value === "";
    if (which.value === "") return;
    try {
      const reply = await wire.request("load", { name: which.value });
      if (reply !== null) loaded(reply.data.filter);
    } catch (error) {
      frame.fail(error);
    }
  });
  scope.listen(save, "click", () => void ask("plan_save", { name: name.value.trim(), filter: filter() }, "Save"));
  scope.listen(name, "keydown", (event) => {
    if (event.key === "Enter") save.click();
  });
  scope.listen(remove, "click", () => void ask("plan_delete", { name: which.value }, "Delete"));
  scope.listen(yes, "click", () => void confirm());
  scope.listen(no, "click", shut);
  scope.listen(question, "keydown", (event) => {
    if (event.key === "Escape") shut();
  });
  return { root, question, show };
}
