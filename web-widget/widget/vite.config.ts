import { defineConfig } from "vite";

// Lightning CSS's name for light-dark(), whose replacement is bytes for a function that is not used.
const lightDark = 1 << 20;

// One script without imports: what a customer's page embeds.
export default defineConfig({
  // Smaller than the automatic runtime: h is in the bundle anyway.
  oxc: { jsx: { runtime: "classic", pragma: "h", pragmaFrag: "Fragment", development: false }, jsxInject: 'import { Fragment, h } from "preact"' },
  css: { lightningcss: { exclude: lightDark } },
  build: {
    target: "es2022",
    outDir: "../../api/web/dist",
    emptyOutDir: false, // the console's files live beside ours
    lib: { entry: "src/index.ts", formats: ["iife"], name: "parleyWidget", fileName: () => "widget.js" },
  },
});
