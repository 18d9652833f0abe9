import { defineConfig } from "vitest/config";

// Two files at a time: the tests of fallback and live mostly wait, and two cores have enough to do with a browser.
// Node 20 has WebSocket behind a flag, later ones have it anyway.
export default defineConfig({
  test: { name: "e2e", include: ["*.test.ts"], maxWorkers: 2, testTimeout: 90_000, hookTimeout: 60_000, execArgv: ["--experimental-websocket"] },
});
