import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

// Three pages: the demo itself, and what is inside its devices. The devices run
// the widget as it is shipped, and the desk of the console.
export default defineConfig({
  base: "/demo/",
  plugins: [vue()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    outDir: "../../api/web/dist/demo",
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the page's policy allows files of its own, nothing inline
    rollupOptions: { input: ["index.html", "shop.html", "agent.html"] },
  },
});
