import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { StatusView } from './api.js';
import { bytes, duration } from './format.js';
import { Header, Notices } from './header.js';
import { follow, useLive } from './live.js';
import { SeriesPage } from './series/page.js';
import { useSession } from './session.js';
import { Worklist } from './worklist/worklist.js';

/** Which series the address names; undefined for the worklist. */
function wantedSeries(): string | undefined {
  return /^#\/series\/([\d.]{1,64})$/.exec(location.hash)?.[1];
}

function Chip({ label, title, children }: { label: string; title?: string; children: string }) {
  return (
    <li class="chip" title={title}>
      <span class="muted">{label} </span>
      {children}
    </li>
  );
}

function ServerStatus({ status }: { status: StatusView }) {
  const jobs = status.queues.reduce((sum, queue) => sum + queue.jobs, 0);
  const dead = status.queues.reduce((sum, queue) => sum + queue.dead, 0);
  const oldest = Math.max(0, ...status.queues.map((queue) => queue.oldestAgeMs));
  const free = status.archive.freeBytes;
  return (
    <ul class="chips status" aria-label="Server">
      <Chip
        label="Engine"
        title={`${status.engine.provider} on ${status.engine.device}, version ${status.engine.version}`}
      >
        {status.engine.engine}
      </Chip>
      <Chip label="Model" title={`sha256 ${status.model.sha256}`}>
        {`${status.model.name} ${status.model.version}`}
      </Chip>
      <Chip label="Queue">{jobs === 0 ? 'empty' : `${jobs} (oldest ${duration(oldest)})`}</Chip>
      {dead > 0 && <li class="chip failed">{dead} given up</li>}
      {status.destinations
        .filter(({ problem }) => problem !== undefined)
        .map(({ name, problem }) => (
          <li key={name} class="chip failed" title={problem}>
            {name} does not answer
          </li>
        ))}
      <Chip label="Disk" title={`${bytes(status.archive.bytes)} in the archive`}>
        {free === undefined ? bytes(status.archive.bytes) : `${bytes(free)} free`}
      </Chip>
    </ul>
  );
}

const CONNECTIONS = { connecting: 'Connecting', live: 'Live', lost: 'Connection lost, trying again' };

function App() {
  const live = useLive();
  const session = useSession();
  const [uid, setUid] = useState(wantedSeries);
  useEffect(() => {
    const onHash = () => setUid(wantedSeries());
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, []);
  useEffect(() => {
    scrollTo(0, 0);
    document.title = uid ? 'Series · MC-Net' : 'Worklist · MC-Net';
  }, [uid]);
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to content
      </button>
      <Header view={uid ? undefined : 'worklist'}>
        {live.status && <ServerStatus status={live.status} />}
        <span class="muted small node">{live.status?.aeTitle}</span>
        <span class={`connection ${live.connection}`} role="status">
          {CONNECTIONS[live.connection]}
        </span>
      </Header>
      <Notices status={live.status} />
      <main id="main" tabIndex={-1}>
        {/* Nobody's patients stay on the screen of one whom the server knows no more. */}
        {!session?.ended && (uid ? <SeriesPage key={uid} uid={uid} /> : <Worklist live={live} />)}
      </main>
    </>
  );
}

follow();
render(<App />, document.getElementById('app')!);
