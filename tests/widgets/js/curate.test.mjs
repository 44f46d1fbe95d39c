import assert from "node:assert/strict";
import { test } from "node:test";
import { columnsAsked, inPanelWords } from "../../../usr_nb/widgets/js/attach/words.js";
import { letterLines, Queue, shifted } from "../../../usr_nb/widgets/js/curate/queue.js";
import { earlierText, fileLine, progressText, share } from "../../../usr_nb/widgets/js/lib/writewords.js";
import { choiceText, stateText } from "../../../usr_nb/widgets/js/sync/words.js";

/** @param {Queue} queue @param {string} id @param {string} value @param {string} before */
const decide = (queue, id, value, before, place = 0) => queue.decide([{ id, field: "qc_status", value, before }], place);

test("what is not saved yet is undone by leaving it out", () => {
  const queue = new Queue();
  decide(queue, "a", "pass", "");
  decide(queue, "b", "fail", "", 1);
  assert.deepEqual(queue.undo(), { place: 1, changes: [{ id: "b", field: "qc_status", value: "", before: "fail" }] });
  assert.deepEqual(queue.batch().decisions, [{ id: "a", field: "qc_status", value: "pass" }]);
});

test("what is saved is undone by a new decision that names the operation", () => {
  const queue = new Queue();
  decide(queue, "a", "pass", "warn");
  const first = queue.batch();
  decide(queue, "b", "fail", "");
  queue.saved(first.taken, "op-1");
  assert.equal(queue.unsaved.length, 1, "what came meanwhile waits");
  queue.undo();
  assert.equal(queue.unsaved.length, 0);
  queue.undo();
  const second = queue.batch();
  assert.deepEqual([second.decisions, second.undoes], [[{ id: "a", field: "qc_status", value: "warn" }], "op-1"]);
  assert.equal(queue.undo(), null);
});

test("one gesture of several fields is undone as one", () => {
  const queue = new Queue();
  queue.decide([{ id: "a", field: "qc_status", value: "", before: "fail" }, { id: "a", field: "split", value: "", before: "train" }], 4);
  queue.saved(queue.batch().taken, "op");
  assert.equal(queue.undo()?.changes.length, 2);
  assert.deepEqual(queue.batch().decisions.map((d) => d.value).sort(), ["fail", "train"]);
});

test("tallies, letters, files, progress and shares", () => {
  assert.deepEqual(shifted({ "": 2 }, "", "pass"), { "": 1, pass: 1 });
  assert.deepEqual(letterLines("A".repeat(65)).map((l) => l.from), [1, 61]);
  assert.equal(letterLines("ACGTACGTACGT")[0]?.letters, "ACGTACGTAC GT");
  assert.equal(fileLine({ kind: "archive", path: "_derived/k/…", files: 2, bytes: 1200 }, (b) => `${b} B`), "puts aside 2 files _derived/k/… (1200 B)");
  assert.equal(progressText({ stage: "writing", done: 1000, total: 2000, unit: "rows" }), "writing: 1,000 of 2,000 rows");
  assert.equal(share(1, 3), "33.3 %");
});

test("columns that are registered keep their type, hints name the controls", () => {
  assert.deepEqual(columnsAsked([{ source: "x", name: "m__x", type: "float64", registered: true, held: false, blank: 0, take: true }]),
    [{ source: "x", name: "m__x", type: "", take: true }]);
  assert.equal(inPanelWords("Use --allow-missing to skip them."), "Use “skip unmatched rows” to skip them.");
});

test("choices name the loser", () => {
  assert.equal(stateText("behind"), "This copy is behind.");
  assert.equal(choiceText("mine", ["--prefer local: theirs stays as x", "--prefer remote: mine stays as y"]), "Keep mine (theirs stays as x)");
  assert.equal(choiceText("theirs", []), "Take theirs");
});

test("an undo of what is on its way is a decision of its own, whatever comes of it", () => {
  const queue = new Queue();
  decide(queue, "a", "pass", "");
  const first = queue.batch();
  queue.undo();
  assert.deepEqual(queue.unsaved.map((u) => u.value), ["pass", ""]);
  queue.saved(first.taken, "op-1");
  const second = queue.batch();
  assert.deepEqual([second.decisions, second.undoes], [[{ id: "a", field: "qc_status", value: "" }], "op-1"]);
  queue.failed(second.taken);
  assert.deepEqual([queue.unsaved.length, queue.undo()?.changes[0]?.value], [0, ""], "it can be undone again");
});

test("a batch that fails is taken back, and what was decided since stays", () => {
  const queue = new Queue();
  decide(queue, "a", "pass", "warn");
  decide(queue, "b", "fail", "", 1);
  const first = queue.batch();
  decide(queue, "a", "fail", "pass");
  decide(queue, "c", "pass", "", 2);
  queue.failed(first.taken);
  assert.deepEqual(queue.unsaved.map((u) => [u.id, u.value, u.before]), [["a", "fail", "warn"], ["c", "pass", ""]]);
  queue.undo();
  assert.equal(queue.undo()?.changes[0]?.value, "warn");
  assert.equal(queue.undo(), null);
  const other = new Queue();
  decide(other, "a", "pass", "");
  const sent = other.batch();
  other.undo();
  other.failed(sent.taken);
  assert.equal(other.unsaved.length, 0, "neither the mark nor its undo");
});

test("more than a batch holds waits for the next", () => {
  const queue = new Queue();
  for (const id of ["a", "b", "c"]) decide(queue, id, "pass", "");
  const first = queue.batch(2);
  queue.saved(first.taken, "op");
  assert.deepEqual(queue.batch(2).decisions.map((d) => d.id), ["c"]);
});

test("what became of a write that nobody saw end", () => {
  const begun = { button: "Push 1 file", at: "2026-01-02T03:04:05Z" };
  const found = { is_in: /** @type {boolean | null} */ (null), remote: "lab", operation_id: "", counts: null, registered: /** @type {string[]} */ ([]) };
  assert.match(earlierText(begun, found), /“Push 1 file” .* Only lab knows whether it arrived\.$/);
  assert.match(earlierText(begun, { ...found, is_in: true, operation_id: "op" }), / is in at lab \(op\)\.$/);
  assert.match(earlierText(begun, { ...found, is_in: false }), /not in: .* nothing of it was installed at lab/);
  assert.match(earlierText(begun, { ...found, remote: "", is_in: true, counts: { rows: 1234 }, operation_id: "op" }), / is in: rows 1,234 \(op\)\.$/);
  assert.match(earlierText(begun, { ...found, remote: "", is_in: false, registered: ["a__b"] }), /after it had registered a__b, .* harms nothing\.$/);
});
