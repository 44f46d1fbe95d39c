/**
 * Bundles each widget into one self-contained file: usr_nb/widgets/static/<name>.js and .css.
 * `node scripts/widgets.mjs` writes them; with `--check` it compares them byte for byte.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = join(root, "usr_nb/widgets/js");
const target = join(root, "usr_nb/widgets/static");
const check = process.argv.includes("--check");

const names = (await readdir(sources, { withFileTypes: true }))
  .filter((entry) => entry.isDirectory() && entry.name !== "lib")
  .map((entry) => entry.name)
  .sort();
const made = await build({
  absWorkingDir: root,
  entryPoints: Object.fromEntries(names.map((name) => [name, join(sources, name, "main.js")])),
  outdir: target,
  bundle: true,
  format: "esm",
  target: "es2022",
  // Not the identifiers: people see them in a stack trace.
  minifyWhitespace: true,
  minifySyntax: true,
  charset: "utf8",
  legalComments: "inline",
  banner: { js: "/* Made from usr_nb/widgets/js by scripts/widgets.mjs. */" },
  write: false,
});

await mkdir(target, { recursive: true });
const wanted = new Map(made.outputFiles.map((file) => [basename(file.path), file.contents]));
const there = new Set(await readdir(target));
const stale = [];
for (const [name, contents] of wanted) {
  const old = there.has(name) ? await readFile(join(target, name)) : null;
  const same = old !== null && Buffer.compare(old, contents) === 0;
  if (!same && check) stale.push(name);
  if (!same && !check) await writeFile(join(target, name), contents);
}
stale.push(...[...there].filter((name) => !wanted.has(name)));
if (stale.length > 0) {
  console.error(`ERROR: not what the sources give: ${stale.join(", ")} in usr_nb/widgets/static`);
  console.error("Hint: run `make widgets` and commit what it writes.");
  process.exit(1);
}
const sizes = [...wanted].map(([name, contents]) => `${name} ${(contents.length / 1000).toFixed(1)} KB`);
console.log(`widgets: ${sizes.join(", ")}`);
