import type { Express } from 'express';

export interface RegisteredRoute {
  method: string;
  path: string;
}

interface Layer {
  route?: { path: string | string[]; methods: Record<string, boolean> };
  handle: unknown;
  /** Set by `match`: how much of the path the layer hangs at. */
  path?: string;
  match(path: string): boolean;
}

function stackOf(of: unknown): Layer[] | undefined {
  return typeof of === 'function' ? (of as unknown as { stack?: Layer[] }).stack : undefined;
}

/** Express forgets the path that a router hangs at; it is one of these. */
const MOUNTS = ['/api', '/dicom-web', '/internal'];

function mountOf(layer: Layer): string {
  if (layer.match('/nowhere')) return '';
  const mount = MOUNTS.find((path) => layer.match(path));
  if (mount === undefined)
    throw new Error(`a router hangs at none of ${MOUNTS.join(', ')}: name its path there`);
  return mount;
}

/** Every route that is registered in an application, with its whole path as express has it. */
export function registeredRoutes(app: Express): RegisteredRoute[] {
  const walk = (layers: Layer[], base: string): RegisteredRoute[] =>
    layers.flatMap((layer) => {
      const { route } = layer;
      if (route) {
        const paths = Array.isArray(route.path) ? route.path : [route.path];
        // `_all`: what answers 405 to the methods that no route takes.
        const methods = Object.keys(route.methods)
          .filter((method) => method !== '_all')
          .map((method) => method.toUpperCase());
        return paths.flatMap((path) => methods.map((method) => ({ method, path: base + path })));
      }
      const inner = stackOf(layer.handle);
      return inner ? walk(inner, base + mountOf(layer)) : [];
    });
  return walk((app.router as unknown as { stack: Layer[] }).stack, '');
}
