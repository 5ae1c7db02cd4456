/** Keys for everything, and a list of them to show. Single keys can be switched off (WCAG 2.1.4). */
import { useEffect, useRef } from 'preact/hooks';

export interface Shortcut {
  /** `KeyboardEvent.key`, with `Shift+` before it where that is meant. */
  keys: readonly string[];
  /** For the list; shortcuts without one are not listed. */
  what?: string;
  run(event: KeyboardEvent): void;
}

const STORED = 'mcnet.shortcuts';
let enabled = localStorage.getItem(STORED) !== 'off';

export const shortcutsEnabled = (): boolean => enabled;
export function enableShortcuts(on: boolean): void {
  enabled = on;
  localStorage.setItem(STORED, on ? 'on' : 'off');
}

const SHOWN: Readonly<Record<string, string>> = {
  ' ': 'Space',
  ArrowUp: '↑',
  ArrowDown: '↓',
  ArrowLeft: '←',
  ArrowRight: '→',
  PageUp: 'Page up',
  PageDown: 'Page down',
  Escape: 'Esc',
};

/** A key as it stands on a keyboard. */
export function keyName(key: string): string {
  return key
    .split('+')
    .map((part, index, all) => (part === '' && index === all.length - 1 ? '+' : (SHOWN[part] ?? part)))
    .filter((part) => part !== '')
    .map((part) => (part.length === 1 ? part.toUpperCase() : part))
    .join(' ');
}

function nameOf(event: KeyboardEvent): string {
  const shifted = event.shiftKey && event.key.length > 1;
  return shifted ? `Shift+${event.key}` : event.key;
}

/** Whether the key belongs to what has the focus: a text, a choice, a slider, a button. */
function belongsElsewhere(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  if (document.querySelector('dialog[open]')) return true;
  if (target.matches('textarea, select, input:not([type=range]):not([type=checkbox]):not([type=radio])'))
    return event.key !== 'Escape';
  if (target.matches('[role=slider], input[type=range], input[type=radio]'))
    return /^(Arrow|Page|Home|End)/.test(event.key);
  return target.matches('button, a, summary, input') && (event.key === ' ' || event.key === 'Enter');
}

/** Has the shortcuts work while the component is there. */
export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  const latest = useRef(shortcuts);
  latest.current = shortcuts;
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || belongsElsewhere(event)) return;
      const name = nameOf(event);
      const found = latest.current.find(({ keys }) => keys.includes(name));
      if (!found || (!enabled && name.length === 1 && name !== '?')) return;
      event.preventDefault();
      found.run(event);
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  }, []);
}
