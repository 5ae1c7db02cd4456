import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { whyToLook } from '../../attention.js';
import {
  getSeries,
  getSlices,
  type ProvenanceView,
  type ReviewView,
  type SeriesView,
  type SliceView,
} from '../api.js';
import { patientFacts, seriesTitle, studyFacts } from '../format.js';
import { Help } from '../help.js';
import { useShortcuts } from '../keyboard.js';
import { know, useLive } from '../live.js';
import { Line, StateBadge, Verdict } from '../parts.js';
import { mayDecide, useSession } from '../session.js';
import { imageKeys, sliceKeys } from '../viewer/keys.js';
import { isFlagged, slotsOf } from '../viewer/slots.js';
import type { Stage, View } from '../viewer/stage.js';
import { type Layout, type Tool, Viewer } from '../viewer/viewer.js';
import { Facts, SliceFacts } from './facts.js';
import { Review } from './review.js';
import { Strip } from './strip.js';

const CINE_FRAMES_A_SECOND = 12;
const RESIDUAL_SHARES = [0.05, 0.1, 0.25, 0.5];
/** Slices that have come meanwhile are read so often at most. */
const SLICES_EVERY_MS = 1000;
/** After an attempt that failed. */
const SLICES_AGAIN_MS = 5000;

/** The pictures' code is large: it comes when a series is opened. */
const loadViewer = () => Promise.all([import('../viewer/stage.js'), import('../viewer/images.js')]);

interface Slices {
  slices: readonly SliceView[];
  provenance: readonly ProvenanceView[];
}

const FIRST_VIEW: View = { index: 0, zoom: 1, pan: [0, 0], window: undefined, residualShare: 0.25 };

/** The series' slices, read again when there are more of them, and when the server is back. */
function useSlices(uid: string, progress: string): { found: Slices | undefined; failed: string } {
  const [found, setFound] = useState<Slices>();
  const [failed, setFailed] = useState('');
  const [attempt, again] = useState(0);
  const readAt = useRef(0);
  useEffect(() => {
    const wait = Math.max(0, readAt.current + SLICES_EVERY_MS - Date.now());
    let timer = setTimeout(
      async () => {
        readAt.current = Date.now();
        const next = await getSlices(uid).catch((error: Error) => setFailed(error.message));
        if (!next) {
          timer = setTimeout(() => again((count) => count + 1), SLICES_AGAIN_MS);
          return;
        }
        setFailed('');
        setFound((now) => (JSON.stringify(now) === JSON.stringify(next) ? now : next));
      },
      readAt.current === 0 ? 0 : wait,
    );
    return () => clearTimeout(timer);
  }, [uid, progress, attempt]);
  return { found, failed };
}

function useStage(): Stage | undefined {
  const [stage, setStage] = useState<Stage>();
  useEffect(() => {
    let made: Stage | undefined;
    let gone = false;
    void loadViewer().then(([{ createStage }]) => {
      if (gone) return;
      made = createStage();
      setStage(made);
    });
    return () => {
      gone = true;
      made?.close();
    };
  }, []);
  return stage;
}

export function SeriesPage({ uid }: { uid: string }) {
  const { series: all, connection } = useLive();
  const series = all.get(uid);
  const [error, setError] = useState('');
  const lost = connection === 'lost';
  const known = series !== undefined;
  // The list, which is read anew with every connection, ends before an old series.
  useEffect(() => {
    if (lost) return;
    setError('');
    getSeries(uid).then(know, (failure: Error) => setError(failure.message));
  }, [uid, known, lost]);
  if (!series) {
    return (
      <div class="notice" role={error === '' ? undefined : 'alert'}>
        {error === '' ? 'Reading the series …' : error}
        {error !== '' && (
          <p>
            <a href="#/">Back to the worklist</a>
          </p>
        )}
      </div>
    );
  }
  return <Opened series={series} lost={lost} />;
}

function Opened({ series, lost }: { series: SeriesView; lost: boolean }) {
  const { corrected, received } = series.counts;
  const { found, failed } = useSlices(series.series, `${received} ${corrected} ${lost}`);
  const stage = useStage();
  const slots = useMemo(() => slotsOf(found?.slices ?? []), [found]);
  const [ready, setReady] = useState<typeof slots>();
  const [view, change] = useReducer((now: View, how: (now: View) => View) => how(now), FIRST_VIEW);
  const [layout, setLayout] = useState<Layout>('side');
  const [residual, setResidual] = useState(false);
  const [tool, setTool] = useState<Tool>('window');
  const [divider, setDivider] = useState(0.5);
  const [playing, setPlaying] = useState(false);
  const [asked, ask] = useState<ReviewView['verdict']>();
  const [help, setHelp] = useState(false);
  const [facts, showFacts] = useState(true);
  const begun = useRef(false);
  const kept = useRef<string | undefined>(undefined);
  const title = seriesTitle(series);
  const why = whyToLook(series);
  const decides = mayDecide(useSession()) && corrected > 0;
  const decide = (verdict: ReviewView['verdict']) => {
    if (!decides) return;
    // The dialog is part of what the key i hides.
    showFacts(true);
    ask(verdict);
  };

  // What the stage shows must be known to its loader first.
  useEffect(() => {
    if (!stage || slots.length === 0) return;
    const stop = new AbortController();
    void loadViewer().then(async ([{ prefetch }, { dicomWebFrames, registerSlots }]) => {
      if (stop.signal.aborted) return;
      registerSlots(slots, dicomWebFrames({ study: series.study, series: series.series }));
      stage.setSlots(slots);
      const again = slots.findIndex(({ ids }) => ids.first === kept.current);
      const index = begun.current && again >= 0 ? again : Math.floor(slots.length / 2);
      if (!begun.current) {
        begun.current = true;
        const window = await stage.windowOf(index).catch(() => undefined);
        change((now) => ({ ...now, index, window }));
      } else change((now) => ({ ...now, index }));
      setReady(slots);
      void prefetch(stage, slots, index, stop.signal);
    });
    return () => stop.abort();
  }, [stage, slots, series.series, series.study]);

  const count = slots.length;
  kept.current = slots[view.index]?.ids.first;
  const go = useCallback(
    (to: (index: number) => number) =>
      change((now) => ({ ...now, index: Math.max(0, Math.min(count - 1, to(now.index))) })),
    [count],
  );
  const reset = useCallback(async () => {
    change((now) => ({ ...now, zoom: 1, pan: [0, 0] }));
    const window = await stage?.windowOf(view.index);
    change((now) => ({ ...now, window }));
  }, [stage, view.index]);

  useEffect(() => {
    if (!playing || count === 0) return;
    const timer = setInterval(
      () => change((now) => ({ ...now, index: (now.index + 1) % count })),
      1000 / CINE_FRAMES_A_SECOND,
    );
    return () => clearInterval(timer);
  }, [playing, count]);

  const window = view.window ?? { center: 0, width: 1 };
  const flagged = slots.flatMap((slot, index) => (isFlagged(slot) ? [index] : []));
  const nextFlagged = () => {
    const next = flagged.find((index) => index > view.index) ?? flagged[0];
    if (next !== undefined) go(() => next);
  };
  const share = (by: number) => () =>
    change((now) => {
      const at = RESIDUAL_SHARES.indexOf(now.residualShare) + by;
      return { ...now, residualShare: RESIDUAL_SHARES[at] ?? now.residualShare };
    });
  const slicesKeys = [
    ...sliceKeys(go),
    { keys: [' '], what: 'play or stop', run: () => setPlaying((now) => !now) },
    { keys: ['n'], what: 'next flagged slice', run: nextFlagged },
  ];
  const onImages = imageKeys({ window, change, reset: () => void reset(), setTool });
  const viewKeys = [
    { keys: ['1'], what: 'side by side', run: () => setLayout('side') },
    { keys: ['2'], what: 'swipe', run: () => setLayout('swipe') },
    { keys: ['3', 'd'], what: 'residual map', run: () => setResidual((now) => !now) },
    { keys: ['<'], what: 'swipe divider left', run: () => setDivider((now) => Math.max(0, now - 0.05)) },
    { keys: ['>'], what: 'swipe divider right', run: () => setDivider((now) => Math.min(1, now + 0.05)) },
    { keys: ['('], what: 'residual map: finer scale', run: share(-1) },
    { keys: [')'], what: 'residual map: coarser scale', run: share(1) },
    { keys: ['i'], what: 'information', run: () => showFacts((now) => !now) },
    {
      keys: ['a'],
      what: 'accept',
      run: () => decide('accepted'),
    },
    {
      keys: ['x'],
      what: 'reject',
      run: () => decide('rejected'),
    },
    { keys: ['Escape'], what: 'back to the worklist', run: () => location.assign('#/') },
    { keys: ['?'], what: 'this list', run: () => setHelp(true) },
  ];
  useShortcuts([...slicesKeys, ...onImages, ...viewKeys]);

  const slot = slots[view.index];
  const toggle = (label: string, key: string, pressed: boolean, press: () => void) => (
    <button type="button" aria-pressed={pressed} onClick={press} title={`${label} (${key})`}>
      {label}
    </button>
  );
  return (
    <div class={`series${facts ? '' : ' without-facts'}`}>
      <div class="series-head">
        <a href="#/" class="back" aria-label="Back to the worklist">
          ←
        </a>
        <div class="who">
          <h1>{title}</h1>
          <p class="small muted">
            <strong>
              <bdi>{series.about?.patient ?? 'Unknown patient'}</bdi>
            </strong>
            {' · '}
            <Line facts={[...patientFacts(series), ...studyFacts(series)]} />
          </p>
        </div>
        <div class="badges">
          <StateBadge series={series} />
          <Verdict series={series} />
          {(series.flagged ?? 0) > 0 && (
            <button type="button" class="chip flag" onClick={nextFlagged} title="Next flagged slice (N)">
              <span aria-hidden="true">⚑ </span>
              {series.flagged} flagged
            </button>
          )}
        </div>
      </div>
      <section class="viewer" aria-label="Images">
        <div class="tools" role="toolbar" aria-label="Images">
          <div class="segments" role="group" aria-label="Layout">
            {toggle('Side by side', '1', layout === 'side', () => setLayout('side'))}
            {toggle('Swipe', '2', layout === 'swipe', () => setLayout('swipe'))}
          </div>
          {toggle('Residual', '3', residual, () => setResidual(!residual))}
          {residual && (
            <label class="small scale-choice">
              Scale{' '}
              <select
                value={String(view.residualShare)}
                onChange={(event) => {
                  const residualShare = Number(event.currentTarget.value);
                  change((now) => ({ ...now, residualShare }));
                }}
              >
                {RESIDUAL_SHARES.map((value) => (
                  <option key={value} value={String(value)}>
                    ± {100 * value} % of the window
                  </option>
                ))}
              </select>
            </label>
          )}
          <div class="segments" role="group" aria-label="Left mouse button">
            {toggle('Window', 'W', tool === 'window', () => setTool('window'))}
            {toggle('Pan', 'P', tool === 'pan', () => setTool('pan'))}
            {toggle('Zoom', 'Z', tool === 'zoom', () => setTool('zoom'))}
          </div>
          <button type="button" onClick={() => void reset()} title="Fit, and the window of the header (0)">
            Reset
          </button>
          <span class="spring" />
          {toggle('Information', 'I', facts, () => showFacts(!facts))}
          <button type="button" onClick={() => setHelp(true)} aria-label="Keys" title="Keys (?)">
            <kbd>?</kbd>
          </button>
        </div>
        {!found && failed !== '' ? (
          <p class="notice" role="alert">
            The list of slices could not be read: {failed}
          </p>
        ) : found && slots.length === 0 ? (
          <p class="notice">There are no images to show yet.</p>
        ) : (
          <Viewer
            slots={slots}
            stage={ready === slots ? stage : undefined}
            view={view}
            layout={layout}
            residual={residual}
            tool={tool}
            divider={divider}
            lost={lost}
            onScroll={(by) => go((index) => index + by)}
            onChange={change}
            onDivider={setDivider}
            onReset={() => void reset()}
          />
        )}
        <div class="cine">
          <button
            type="button"
            aria-pressed={playing}
            onClick={() => setPlaying(!playing)}
            title="Play or stop (Space)"
          >
            <span aria-hidden="true">{playing ? '❚❚' : '▶'}</span> {playing ? 'Stop' : 'Play'}
          </button>
          <span class="name small muted">Slice</span>
          <input
            type="range"
            min={0}
            max={Math.max(0, count - 1)}
            value={view.index}
            aria-label="Slice"
            aria-valuetext={`${view.index + 1} of ${count}${slot?.position === undefined ? '' : `, ${slot.position.toFixed(1)} millimetres`}`}
            onInput={(event) => {
              const index = Number(event.currentTarget.value);
              go(() => index);
            }}
          />
          <output class="figures small">
            {count === 0 ? '—' : `${view.index + 1} / ${count}`}
            {slot && slot.slice.frames > 1 && ` · frame ${slot.frame}`}
          </output>
        </div>
        <Strip slots={slots} index={view.index} onChoose={(index) => go(() => index)} />
      </section>
      {facts && (
        <aside aria-label="Information" tabIndex={0}>
          {why.length > 0 && (
            <section class="card flags" aria-label="Why to look">
              <h2>Why to look</h2>
              <ul class="plain small">
                {why.map((reason) => (
                  <li key={reason}>{reason}</li>
                ))}
              </ul>
            </section>
          )}
          <SliceFacts slot={slot} />
          <Review series={series} asked={asked} onAsk={ask} />
          <Facts series={series} provenance={found?.provenance ?? []} title={title} />
        </aside>
      )}
      {help && (
        <Help
          groups={[
            { title: 'Slices', shortcuts: slicesKeys },
            { title: 'Image', shortcuts: onImages },
            { title: 'View and review', shortcuts: viewKeys },
          ]}
          onClose={() => setHelp(false)}
        />
      )}
    </div>
  );
}
