/** The list of keys, in front of whatever is shown. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { enableShortcuts, keyName, type Shortcut, shortcutsEnabled } from './keyboard.js';

export function Help({
  groups,
  onClose,
}: {
  groups: readonly { title: string; shortcuts: readonly Shortcut[] }[];
  onClose(): void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [on, setOn] = useState(shortcutsEnabled());
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title" onClose={onClose}>
      <header>
        <h2 id="help-title">Keys</h2>
        <label class="small">
          <input
            type="checkbox"
            checked={on}
            onChange={(event) => {
              enableShortcuts(event.currentTarget.checked);
              setOn(event.currentTarget.checked);
            }}
          />{' '}
          Single keys work
        </label>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </header>
      <div class="columns">
        {groups.map(({ title, shortcuts }) => (
          <section key={title} aria-label={title}>
            <h3>{title}</h3>
            <dl>
              {shortcuts
                .filter(({ what }) => what !== undefined)
                .map(({ keys, what }) => (
                  <div key={what}>
                    <dt>
                      {keys.map((key, index) => (
                        <span key={key}>
                          {index > 0 && ' or '}
                          <kbd>{keyName(key)}</kbd>
                        </span>
                      ))}
                    </dt>
                    <dd>{what}</dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
        <section aria-label="Mouse">
          <h3>Mouse, over the images</h3>
          <dl>
            {[
              ['Wheel', 'slice'],
              ['Left button', 'the chosen tool: window, pan or zoom'],
              ['Middle button', 'pan'],
              ['Right button', 'zoom'],
              ['Ctrl + wheel', 'zoom'],
              ['Double click', 'fit, and the window of the header'],
            ].map(([name, what]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
    </dialog>
  );
}
