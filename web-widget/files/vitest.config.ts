import { defineConfig } from "vitest/config";

export default defineConfig({ test: { name: "files", testTimeout: 30_000, include: ["test/**/*.test.ts"], environment: "happy-dom" } });
