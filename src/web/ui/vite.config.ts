import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** The page, built into what the server serves; everything in it comes from the server itself. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  publicDir: 'public',
  resolve: {
    // Cornerstone's mesh reader needs modules of Node's.
    alias: [
      {
        find: /^@kitware\/vtk\.js\/IO\/XML\/XMLPolyDataReader(\.js)?$/,
        replacement: fileURLToPath(new URL('./viewer/without-meshes.ts', import.meta.url)),
      },
    ],
  },
  build: {
    outDir: fileURLToPath(new URL('../../../dist/src/web/ui', import.meta.url)),
    emptyOutDir: true,
    rolldownOptions: {
      input: ['index.html', 'reader-study/index.html'].map((file) =>
        fileURLToPath(new URL(file, import.meta.url)),
      ),
    },
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 4000,
  },
});
