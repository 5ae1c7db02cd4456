/** Who uses the page, what they may do, and whether the server still knows them. */
import { useEffect, useState } from 'preact/hooks';
import { get, onUnknown, ROOT, type SessionView } from './api.js';

export interface Session extends SessionView {
  /** The server knows the person no more: what is asked for now is refused. */
  ended: boolean;
}

let state: Session | undefined;
const listeners = new Set<() => void>();

function change(next: Session): void {
  state = next;
  for (const listener of listeners) listener();
}

async function read(): Promise<void> {
  const session = await get<SessionView>('api/session').catch(() => undefined);
  // A server that does not answer says nothing about the session.
  if (session) change({ ...session, ended: session.configured && session.name === undefined });
}

onUnknown(() => void read());
void read();

/** undefined until the server has said it. */
export function useSession(): Session | undefined {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = () => redraw((count) => count + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return state;
}

/** Whether the person may accept, reject and retry. Until the server has said who it is, nobody may. */
export function mayDecide(session: Session | undefined): boolean {
  return session?.role === 'technologist' || session?.role === 'admin';
}

/** Whether the person may begin reader studies and read their results. */
export function mayConfigure(session: Session | undefined): boolean {
  return session?.role === 'admin';
}

/** The login page, which comes back to what is shown now. */
export function loginAddress(): string {
  const address = new URL('login', ROOT);
  address.searchParams.set('next', `${location.pathname}${location.hash}`);
  return address.href;
}
