import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/agent/",
  plugins: [vue()],
  build: {
    target: "es2022",
    outDir: "../../api/web/dist/agent",
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the page's policy allows files of its own, nothing inline
  },
});
