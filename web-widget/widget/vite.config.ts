import { defineConfig } from "vite";

// One script without imports: what a customer's page embeds.
export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact", development: false } },
  build: {
    target: "es2022",
    outDir: "../../api/web/dist",
    emptyOutDir: false, // the console's files live beside ours
    lib: { entry: "src/index.ts", formats: ["iife"], name: "parleyWidget", fileName: () => "widget.js" },
  },
});
