/** A value that several views show, drawn again in each of them when it changes. */
import { useEffect, useState } from 'preact/hooks';

export interface Store<T> {
  get(): T;
  set(next: T): void;
  /** In a component: the value, now and from now on. */
  use(): T;
}

/** @param delayMs changes within this time are drawn once */
export function createStore<T>(first: T, delayMs = 0): Store<T> {
  let value = first;
  let drawing = false;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      value = next;
      if (drawing) return;
      drawing = true;
      setTimeout(() => {
        drawing = false;
        for (const listener of listeners) listener();
      }, delayMs);
    },
    use() {
      const [, redraw] = useState(0);
      useEffect(() => {
        const listener = () => redraw((count) => count + 1);
        listeners.add(listener);
        // What has changed between the first drawing and now.
        listener();
        return () => {
          listeners.delete(listener);
        };
      }, []);
      return value;
    },
  };
}
