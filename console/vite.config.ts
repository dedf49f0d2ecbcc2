import { defineConfig } from "vite";

// `INGOT_URL` is the server that `npm run dev` stands in front of.
const server = process.env["INGOT_URL"] ?? "http://127.0.0.1:7070";

export default defineConfig({
  base: "/console/",
  build: {
    outDir: "../src/ingot/console/dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the page's policy takes scripts and fonts from files only
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
  },
  worker: { format: "es" },
  server: { proxy: { "/api": { target: server, ws: true } } },
});
