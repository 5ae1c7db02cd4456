/** Who uses the page, what they may do, and whether the server still knows them. */
import { get, onUnknown, ROOT, type SessionView } from './api.js';
import { createStore } from './store.js';

export interface Session extends SessionView {
  /** The server knows the person no more: what is asked for now is refused. */
  ended: boolean;
}

const session = createStore<Session | undefined>(undefined);

async function read(): Promise<void> {
  const found = await get<SessionView>('api/session').catch(() => undefined);
  // A server that does not answer says nothing about the session.
  if (found) session.set({ ...found, ended: found.configured && found.name === undefined });
}

onUnknown(() => void read());
void read();

/** The server counts as idle whoever asks for nothing; looking through pictures that are here already is no idleness. */
const ACTIVE_EVERY_MS = 20_000;
let toldAt = Date.now();
for (const input of ['pointerdown', 'keydown', 'wheel']) {
  addEventListener(
    input,
    () => {
      if (Date.now() - toldAt < ACTIVE_EVERY_MS) return;
      toldAt = Date.now();
      void read();
    },
    { passive: true },
  );
}

/** undefined until the server has said it. */
export const useSession = (): Session | undefined => session.use();

/** Whether the person may accept, reject and retry. Until the server has said who it is, nobody may. */
export function mayDecide(who: Session | undefined): boolean {
  return who?.role === 'technologist' || who?.role === 'admin';
}

/** Whether the person may begin reader studies and read their results. */
export function mayConfigure(who: Session | undefined): boolean {
  return who?.role === 'admin';
}

/** The login page, which comes back to what is shown now. */
export function loginAddress(): string {
  const address = new URL('login', ROOT);
  address.searchParams.set('next', `${location.pathname}${location.hash}`);
  return address.href;
}
