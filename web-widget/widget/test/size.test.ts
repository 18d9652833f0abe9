// @vitest-environment node
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { expect, it } from "vitest";

/** Bytes after gzip that the widget may cost a page, everything included: 25 KB. */
const limit = 25 * 1024;

it(`the widget fits in ${limit} bytes and is one script`, async () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const built = await build({ root, configFile: root + "vite.config.ts", logLevel: "silent", build: { write: false } });
  const [output] = Array.isArray(built) ? built : [];
  expect(output?.output.map((file) => file.fileName)).toEqual(["widget.js"]);
  expect(gzipSync(await readFile(root + "public/widget-zh.json"), { level: 9 }).length).toBeLessThan(2_000); // the other language, loaded by those who speak it
  const size = gzipSync(output?.output[0].code ?? "", { level: 9 }).length;
  console.log(`widget: ${size} bytes gzip`);
  expect(size).toBeGreaterThan(15_000);
  expect(size).toBeLessThanOrEqual(limit);
}, 60_000);
