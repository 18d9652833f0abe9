// @vitest-environment node
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { expect, it } from "vitest";

/** Bytes after gzip of what is loaded when a chat is opened, for files. */
const limit = 10 * 1024;

it(`what deals with files fits in ${limit} bytes and is one script`, async () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const built = await build({ root, configFile: root + "vite.files.config.ts", logLevel: "silent", build: { write: false } });
  const [output] = Array.isArray(built) ? built : [];
  expect(output?.output.map((file) => file.fileName)).toEqual(["files.js"]);
  const size = gzipSync(output?.output[0].code ?? "", { level: 9 }).length;
  console.log(`files: ${size} bytes gzip`);
  expect(size).toBeGreaterThan(5_000);
  expect(size).toBeLessThanOrEqual(limit);
}, 60_000);
