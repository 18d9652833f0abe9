import { defineConfig } from "vitest/config";

// One browser and one server at a time: two cores have enough to do with them.
// Node 20 has WebSocket behind a flag, later ones have it anyway.
export default defineConfig({
  test: { name: "e2e", include: ["*.test.ts"], fileParallelism: false, testTimeout: 90_000, hookTimeout: 60_000, execArgv: ["--experimental-websocket"] },
});
