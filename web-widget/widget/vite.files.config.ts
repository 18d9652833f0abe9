import { defineConfig } from "vite";

// A module without imports: what widget.js loads when the chat is opened.
export default defineConfig({
  publicDir: false,
  build: {
    target: "es2022",
    outDir: "../../api/web/dist",
    emptyOutDir: false, // widget.js and the console's files live beside ours
    lib: { entry: "src/files.ts", formats: ["es"], fileName: () => "files.js" },
  },
});
