/** What stands above every view: where one is, who one is, and what is wrong with the server. */
import type { ComponentChildren } from 'preact';
import { ROOT, type StatusView } from './api.js';
import { clock } from './format.js';
import { loginAddress, useSession } from './session.js';

function Person() {
  const session = useSession();
  if (!session?.configured || session.name === undefined) return null;
  return (
    <span class="person small">
      <span>
        {session.name} <span class="muted">{session.role}</span>
      </span>
      {session.by === 'session' && (
        <form method="post" action={new URL('logout', ROOT).href}>
          <button type="submit">Log out</button>
        </form>
      )}
    </span>
  );
}

export function Header({
  view,
  children,
}: {
  /** Which of the views is shown; undefined: one below them. */
  view: 'worklist' | 'reader study' | undefined;
  children?: ComponentChildren;
}) {
  const place = (name: typeof view, label: string, path: string) => (
    <a href={new URL(path, ROOT).href} aria-current={view === name ? 'page' : undefined}>
      {label}
    </a>
  );
  return (
    <header class="top">
      <a class="brand" href={new URL('#/', ROOT).href}>
        <img src={new URL('icon.svg', ROOT).href} alt="" width="24" height="24" /> MC-Net
      </a>
      <nav aria-label="Views">
        {place('worklist', 'Worklist', '#/')}
        {place('reader study', 'Reader study', 'reader-study/#/')}
      </nav>
      {children}
      <Person />
    </header>
  );
}

/** What everybody should know who looks at the page now. */
export function Notices({ status }: { status?: StatusView | undefined }) {
  const session = useSession();
  const { problem, loadedAt, needsRestart = [] } = status?.configuration ?? {};
  return (
    <div class="notices">
      {session?.ended && (
        <p class="problem" role="alert">
          You are logged out, and nothing here is up to date any more. <a href={loginAddress()}>Log in</a>
        </p>
      )}
      {status?.problems.map((text) => (
        <p class="problem" role="alert" key={text}>
          {text}
        </p>
      ))}
      {problem !== undefined && (
        <p class="problem" role="alert">
          <strong>The configuration file cannot be used.</strong> What was read at {clock(loadedAt ?? 0)}{' '}
          stays in force. <span class="detail">{problem}</span>
        </p>
      )}
      {needsRestart.length > 0 && (
        <p class="problem mild" role="status">
          The configuration file was changed: {needsRestart.join(', ')}{' '}
          {needsRestart.length === 1 ? 'takes' : 'take'} effect when the server is started again.
        </p>
      )}
    </div>
  );
}
