// SPDX-License-Identifier: Apache-2.0
// The standalone console: built into the Python package; in development, /api comes from a running console.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const api = process.env.FLOWGAUGE_URL ?? "http://127.0.0.1:8055";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../src/flowgauge/console/static/app",
    emptyOutDir: true,
    target: "es2022",
    license: { fileName: "THIRD-PARTY.md" },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
  },
  server: { proxy: { "/api": api } },
  test: { environment: "happy-dom", testTimeout: 60_000, include: ["test/**/*.test.{ts,tsx}"] },
});
