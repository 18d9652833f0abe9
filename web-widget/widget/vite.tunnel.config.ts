import { defineConfig } from "vite";

// A module without imports: what widget.js loads where there can be no WebSocket.
export default defineConfig({
  publicDir: false,
  build: {
    target: "es2022",
    outDir: "../../api/web/dist",
    emptyOutDir: false, // widget.js and the console's files live beside ours
    lib: { entry: "src/tunnel.ts", formats: ["es"], fileName: () => "tunnel.js" },
  },
});
