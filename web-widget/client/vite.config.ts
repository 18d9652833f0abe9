import { defineConfig } from "vite";

export default defineConfig({
  build: {
    target: "es2022",
    lib: { entry: ["src/index.ts", "src/registers.ts", "src/search.ts", "src/uploads.ts"], formats: ["es"] },
  },
});
