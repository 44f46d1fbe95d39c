/** Arrow buffers as rows. Buffers arrive as DataView in every host. */
import { tableFromIPC } from "@uwdata/flechette";

/** @param {DataView | Uint8Array} buffer */
export function bytesOf(buffer) {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/**
 * Returns the rows of an Arrow IPC stream as plain objects.
 * @param {DataView | Uint8Array} buffer
 * @returns {Record<string, any>[]}
 */
export function rowsOf(buffer) {
  const table = tableFromIPC(bytesOf(buffer));
  const names = table.schema.fields.map((f) => f.name);
  const columns = names.map((name) => table.getChild(name));
  return Array.from({ length: table.numRows }, (_, i) =>
    Object.fromEntries(names.map((name, k) => [name, columns[k]?.at(i) ?? null])),
  );
}
