import assert from "node:assert/strict";
import { test } from "node:test";
import { Wire, WireError } from "../../../usr_nb/widgets/js/lib/wire.js";

function model() {
  /** @type {Set<(...args: any[]) => void>} */
  const listeners = new Set();
  /** @type {any[]} */
  const sent = [];
  return {
    sent,
    listeners,
    get: () => "",
    send: (/** @type {any} */ message) => void sent.push(message),
    on: (/** @type {string} */ _name, /** @type {any} */ f) => void listeners.add(f),
    off: (/** @type {string} */ _name, /** @type {any} */ f) => void listeners.delete(f),
    reply(/** @type {any} */ message, /** @type {DataView[]} */ buffers = []) {
      for (const f of [...listeners]) f(message, buffers);
    },
  };
}
/** @param {any} m @param {any} [data] */
const ok = (m, data = {}) => ({ kind: "reply", id: m.id, op: m.op, ok: true, data });

test("one request of an operation is in flight, and the newest wins", async () => {
  const m = model();
  const wire = new Wire(m);
  const [a, b, c] = [wire.request("page", { n: 1 }), wire.request("page", { n: 2 }), wire.request("page", { n: 3 })];
  const other = wire.request("look");
  assert.deepEqual(m.sent.map((s) => s.args.n), [1, undefined]);
  assert.equal(await b, null);
  m.reply(ok(m.sent[0], "first"));
  assert.equal((await a)?.data, "first");
  assert.equal(m.sent.at(-1).args.n, 3);
  m.reply(ok(m.sent.at(-1), "third"));
  m.reply(ok(m.sent[1], "looked"));
  assert.equal((await c)?.data, "third");
  assert.equal((await other)?.data, "looked");
  wire.close();
});

test("stale, repeated and foreign replies are dropped", async () => {
  const m = model();
  const wire = new Wire(m);
  const asked = wire.request("page");
  m.reply({ kind: "reply", id: -1, op: "page", ok: true, data: "foreign" });
  m.reply({ kind: "reply", id: m.sent[0].id + 1, op: "page", ok: true, data: "later" });
  m.reply({ ...ok(m.sent[0], "other op"), op: "find" });
  m.reply("nonsense");
  m.reply(undefined);
  m.reply(ok(m.sent[0], "mine"));
  m.reply(ok(m.sent[0], "again"));
  assert.equal((await asked)?.data, "mine");
  wire.close();
});

test("an error of the kernel is thrown with its type and hint", async () => {
  const m = model();
  const wire = new Wire(m);
  const asked = wire.request("find");
  m.reply({ kind: "reply", id: m.sent[0].id, op: "find", ok: false, error: { type: "RecordNotFound", message: "none", hint: "look" } });
  await assert.rejects(asked, (error) => error instanceof WireError && error.name === "RecordNotFound" && error.hint === "look");
  wire.close();
});

test("a kernel that is silent is told of, and that it spoke again", async () => {
  const m = model();
  /** @type {boolean[]} */
  const told = [];
  const wire = new Wire(m, { patience: 5, onWaiting: (slow) => told.push(slow) });
  const asked = wire.request("page");
  await new Promise((done) => setTimeout(done, 30));
  assert.deepEqual(told, [true]);
  m.reply(ok(m.sent[0]));
  await asked;
  assert.deepEqual(told, [true, false]);
  wire.close();
});

test("closing detaches the listener and leaves nobody waiting", async () => {
  const m = model();
  const wire = new Wire(m);
  const [flying, next] = [wire.request("page"), wire.request("page")];
  wire.close();
  assert.equal(m.listeners.size, 0);
  assert.deepEqual([await flying, await next, await wire.request("page")], [null, null, null]);
});

test("notices reach the panel, and two views of one model do not take each other's replies", async () => {
  const m = model();
  /** @type {string[]} */
  const heard = [];
  const wires = [0, 1].map(() => new Wire(m, { onNotice: (what) => heard.push(what) }));
  const asked = wires.map((w) => w.request("page"));
  m.reply({ kind: "notice", what: "changed", data: {} });
  assert.deepEqual(heard, ["changed", "changed"]);
  m.reply(ok(m.sent[1], "second"));
  m.reply(ok(m.sent[0], "first"));
  assert.deepEqual((await Promise.all(asked)).map((r) => r?.data), ["first", "second"]);
  wires.forEach((w) => w.close());
});
