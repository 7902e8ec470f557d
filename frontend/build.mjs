// Bundles each island into one script and one style sheet below ../src/alcove/web/built.
import { build } from "esbuild";
import { rm } from "node:fs/promises";

const out = new URL("../src/alcove/web/built", import.meta.url).pathname;
await rm(out, { recursive: true, force: true });
await build({
  entryPoints: ["app", "terminal", "player", "charts"].map((name) => `src/${name}.ts`),
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "eof",
  loader: { ".woff2": "dataurl", ".wasm": "binary" },
  logLevel: "warning",
});
