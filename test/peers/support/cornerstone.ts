import { build, type InlineConfig } from 'vite';

/** What the page imports; and nothing in the place of Cornerstone's mesh reader, which needs modules of Node's. */
const VIRTUAL: Readonly<Record<string, string>> = {
  'virtual:cornerstone': `export * as core from '@cornerstonejs/core'; export * as loader from '@cornerstonejs/dicom-image-loader';`,
  'virtual:no-meshes': 'export default {};',
};
const MESH_READER = /^@kitware\/vtk\.js\/IO\/XML\/XMLPolyDataReader(\.js)?$/;

/** Cornerstone3D and its loader for WADO-RS, bundled as a viewer would; the page imports `/cornerstone.js` from `folder`. */
export async function bundleCornerstone(folder: string): Promise<void> {
  const config: InlineConfig = {
    configFile: false,
    logLevel: 'error',
    publicDir: false,
    worker: { format: 'es' },
    plugins: [
      {
        name: 'entry',
        enforce: 'pre',
        resolveId: (id) => (MESH_READER.test(id) ? 'virtual:no-meshes' : id in VIRTUAL ? id : undefined),
        load: (id) => VIRTUAL[id],
      },
    ],
    build: {
      outDir: folder,
      emptyOutDir: true,
      minify: false,
      target: 'esnext',
      modulePreload: false,
      rollupOptions: {
        input: 'virtual:cornerstone',
        preserveEntrySignatures: 'strict',
        output: { entryFileNames: 'cornerstone.js' },
      },
    },
  };
  await build(config);
}
