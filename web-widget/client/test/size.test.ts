import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { expect, it } from "vitest";

/** Bytes after gzip that the whole client may cost a page. */
const limit = 12_500;

it(`the client fits in ${limit} bytes`, async () => {
  const built = await build({
    configFile: false,
    logLevel: "silent",
    root: fileURLToPath(new URL("..", import.meta.url)),
    build: { write: false, minify: true, target: "es2022", lib: { entry: "src/index.ts", formats: ["iife"], name: "parleyClient" } },
  });
  const [output] = Array.isArray(built) ? built : [];
  const size = gzipSync(output?.output[0].code ?? "", { level: 9 }).length;
  console.log(`client: ${size} bytes gzip`);
  expect(size).toBeGreaterThan(5_000);
  expect(size).toBeLessThanOrEqual(limit);
}, 60_000);
