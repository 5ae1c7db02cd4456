/** The keys that every view of images has. */
import type { Shortcut } from '../keyboard.js';
import type { View } from './stage.js';
import { type Tool, windowed, zoomed } from './viewer.js';

/** @param go to a slice, from the one that is shown */
export function sliceKeys(go: (to: (index: number) => number) => void): Shortcut[] {
  const step = (by: number) => () => go((index) => index + by);
  return [
    { keys: ['ArrowDown', 'ArrowRight'], what: 'next slice', run: step(1) },
    { keys: ['ArrowUp', 'ArrowLeft'], what: 'slice before', run: step(-1) },
    { keys: ['PageDown'], what: 'ten slices on', run: step(10) },
    { keys: ['PageUp'], what: 'ten slices back', run: step(-10) },
    { keys: ['Home'], what: 'first slice', run: () => go(() => 0) },
    { keys: ['End'], what: 'last slice', run: () => go(() => Number.MAX_SAFE_INTEGER) },
  ];
}

export function imageKeys({
  window,
  change,
  reset,
  setTool,
}: {
  /** The window that is shown. */
  window: { center: number; width: number };
  change(how: (view: View) => View): void;
  reset(): void;
  setTool(tool: Tool): void;
}): Shortcut[] {
  const pan = (x: number, y: number) => () =>
    change((now) => ({ ...now, pan: [now.pan[0] + (x * 16) / now.zoom, now.pan[1] + (y * 16) / now.zoom] }));
  const contrast = (dx: number, dy: number) => () => change((now) => windowed(now, window, dx, dy));
  return [
    { keys: ['+', '='], what: 'zoom in', run: () => change((now) => zoomed(now, 1.25)) },
    { keys: ['-'], what: 'zoom out', run: () => change((now) => zoomed(now, 0.8)) },
    { keys: ['Shift+ArrowRight'], what: 'pan right', run: pan(1, 0) },
    { keys: ['Shift+ArrowLeft'], what: 'pan left', run: pan(-1, 0) },
    { keys: ['Shift+ArrowDown'], what: 'pan down', run: pan(0, 1) },
    { keys: ['Shift+ArrowUp'], what: 'pan up', run: pan(0, -1) },
    { keys: ['['], what: 'narrower window', run: contrast(-0.1, 0) },
    { keys: [']'], what: 'wider window', run: contrast(0.1, 0) },
    { keys: [','], what: 'brighter', run: contrast(0, -0.05) },
    { keys: ['.'], what: 'darker', run: contrast(0, 0.05) },
    { keys: ['0'], what: 'fit, and the window of the header', run: reset },
    { keys: ['w'], what: 'tool: window', run: () => setTool('window') },
    { keys: ['p'], what: 'tool: pan', run: () => setTool('pan') },
    { keys: ['z'], what: 'tool: zoom', run: () => setTool('zoom') },
  ];
}
