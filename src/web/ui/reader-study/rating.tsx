import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { Help } from '../help.js';
import { useShortcuts } from '../keyboard.js';
import { Comment, Failure } from '../parts.js';
import { imageKeys, sliceKeys } from '../viewer/keys.js';
import type { Slot } from '../viewer/slots.js';
import type { Stage, View } from '../viewer/stage.js';
import { type Tool, Viewer } from '../viewer/viewer.js';
import { type CaseView, framesOf, type Next, nextCase, rate, type Scores } from './api.js';

const loadViewer = () => Promise.all([import('../viewer/stage.js'), import('../viewer/images.js')]);

const MEASURES: readonly { id: keyof Scores; label: string; ends: [string, string] }[] = [
  { id: 'artefact', label: 'Motion artefact', ends: ['severe', 'none'] },
  { id: 'sharpness', label: 'Sharpness', ends: ['blurred', 'sharp'] },
  { id: 'confidence', label: 'Diagnostic confidence', ends: ['none', 'full'] },
];
const SIDES = ['left', 'right'] as const;
const CHOICES = [
  { value: 'left', label: 'Left' },
  { value: 'equal', label: 'No difference' },
  { value: 'right', label: 'Right' },
] as const;

type Draft = Partial<Scores>;

function whole(draft: Draft): draft is Scores {
  return MEASURES.every(({ id }) => draft[id] !== undefined);
}

/** The two sides as the viewer takes them; nothing here knows which is which. */
function slotsOfCase({ token, slices }: CaseView): Slot[] {
  return slices.map(({ position, image }, index) => ({
    slice: { id: index, sop: String(index), frames: 1, state: '', derived: true },
    frame: 1,
    image,
    ...(position !== undefined && { position }),
    ids: { first: `mcnet:left/${token}/${index}`, second: `mcnet:right/${token}/${index}` },
    quality: undefined,
  }));
}

function ScoreRow({
  side,
  measure,
  value,
  onChange,
}: {
  side: (typeof SIDES)[number];
  measure: (typeof MEASURES)[number];
  value: number | undefined;
  onChange(value: number): void;
}) {
  return (
    <fieldset class="score">
      <legend>
        {measure.label} <span class="hidden">, {side} image</span>
      </legend>
      <span class="small muted">{measure.ends[0]}</span>
      {[1, 2, 3, 4, 5].map((point) => (
        <label key={point}>
          <input
            type="radio"
            name={`${side} ${measure.id}`}
            value={point}
            checked={value === point}
            onChange={() => onChange(point)}
          />
          {point}
        </label>
      ))}
      <span class="small muted">{measure.ends[1]}</span>
    </fieldset>
  );
}

export function Rating({ study, reader }: { study: string; reader: string }) {
  const [next, setNext] = useState<Next>();
  const [error, setError] = useState('');
  const load = useCallback(() => {
    nextCase(study, reader).then(setNext, (failure: Error) => setError(failure.message));
  }, [study, reader]);
  useEffect(load, [load]);
  if (error !== '') {
    return (
      <p class="notice" role="alert">
        {error}
      </p>
    );
  }
  if (!next) return <p class="notice">Reading the next case …</p>;
  if (!next.case) {
    return (
      <p class="notice" role="status">
        All {next.cases} cases are rated. Thank you. <a href="#/">Back to the studies</a>
      </p>
    );
  }
  return (
    <Case key={next.case.token} study={study} reader={reader} next={next} it={next.case} onRated={load} />
  );
}

function Case({
  study,
  reader,
  next,
  it,
  onRated,
}: {
  study: string;
  reader: string;
  next: Next;
  it: CaseView;
  onRated(): void;
}) {
  const slots = useMemo(() => slotsOfCase(it), [it]);
  const [stage, setStage] = useState<Stage>();
  const [view, change] = useReducer((now: View, how: (now: View) => View) => how(now), {
    index: Math.floor(slots.length / 2),
    zoom: 1,
    pan: [0, 0],
    window: it.window,
    residualShare: 0.25,
  } as View);
  const [tool, setTool] = useState<Tool>('window');
  const [scores, setScores] = useState<{ left: Draft; right: Draft }>({ left: {}, right: {} });
  const [preferred, prefer] = useState<(typeof CHOICES)[number]['value']>();
  const [comment, setComment] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const [help, setHelp] = useState(false);
  const begun = useRef(performance.now());

  useEffect(() => {
    const stop = new AbortController();
    let made: Stage | undefined;
    void loadViewer().then(([{ createStage, prefetch }, { registerSlots }]) => {
      if (stop.signal.aborted) return;
      made = createStage();
      const bytes = (side: (typeof SIDES)[number]) => (_slot: Slot, index: number) =>
        framesOf(study, reader, it.token, side, index);
      registerSlots(slots, { first: bytes('left'), second: bytes('right') });
      made.setSlots(slots);
      setStage(made);
      void prefetch(made, slots, Math.floor(slots.length / 2), stop.signal);
    });
    return () => {
      stop.abort();
      made?.close();
    };
  }, [slots, study, reader, it.token]);

  const count = slots.length;
  const go = (to: (index: number) => number) =>
    change((now) => ({ ...now, index: Math.max(0, Math.min(count - 1, to(now.index))) }));
  const reset = () => change((now) => ({ ...now, zoom: 1, pan: [0, 0], window: it.window }));
  const { left, right } = scores;
  const ready = preferred !== undefined && whole(left) && whole(right);

  async function save() {
    if (preferred === undefined || !whole(left) || !whole(right) || busy) return;
    setBusy(true);
    try {
      const seconds = (performance.now() - begun.current) / 1000;
      await rate(study, reader, it.token, { preferred, left, right, comment, seconds });
      onRated();
    } catch (failure) {
      setError((failure as Error).message);
      setBusy(false);
    }
  }

  const window = view.window ?? it.window;
  const shortcuts = [
    ...sliceKeys(go),
    ...imageKeys({ window, change, reset, setTool }),
    { keys: ['l'], what: 'left is better', run: () => prefer('left') },
    { keys: ['e'], what: 'no difference', run: () => prefer('equal') },
    { keys: ['r'], what: 'right is better', run: () => prefer('right') },
    { keys: ['s'], what: 'save, and the next case', run: () => void save() },
    { keys: ['?'], what: 'this list', run: () => setHelp(true) },
  ];
  useShortcuts(shortcuts);

  return (
    <div class="series rating">
      <div class="series-head">
        <a href="#/" class="back" aria-label="Back to the studies">
          ←
        </a>
        <div class="who">
          <h1>{next.name}</h1>
          <p class="small muted" role="status">
            Case {next.rated + 1} of {next.cases}
          </p>
        </div>
        <progress max={next.cases} value={next.rated} aria-label="Cases rated" />
      </div>
      <section class="viewer" aria-label="Images">
        <div class="tools" role="toolbar" aria-label="Images">
          <div class="segments" role="group" aria-label="Left mouse button">
            {(['window', 'pan', 'zoom'] as const).map((name) => (
              <button key={name} type="button" aria-pressed={tool === name} onClick={() => setTool(name)}>
                {name[0]!.toUpperCase() + name.slice(1)}
              </button>
            ))}
          </div>
          <button type="button" onClick={reset}>
            Reset
          </button>
          <span class="spring" />
          <button type="button" onClick={() => setHelp(true)} aria-label="Keys">
            <kbd>?</kbd>
          </button>
        </div>
        <Viewer
          slots={slots}
          stage={stage}
          view={view}
          layout="side"
          residual={false}
          tool={tool}
          divider={0.5}
          labels={{ first: 'Left', second: 'Right' }}
          onScroll={(by) => go((index) => index + by)}
          onChange={change}
          onDivider={() => undefined}
          onReset={reset}
        />
        <div class="cine">
          <span class="small muted">Slice</span>
          <input
            type="range"
            min={0}
            max={count - 1}
            value={view.index}
            aria-label="Slice"
            onInput={(event) => {
              const index = Number(event.currentTarget.value);
              go(() => index);
            }}
          />
          <output class="figures small">
            {view.index + 1} / {count}
          </output>
        </div>
      </section>
      <aside aria-label="Rating" tabIndex={0}>
        <form
          class="rating-form"
          onSubmit={(event) => {
            event.preventDefault();
            void save();
          }}
        >
          {SIDES.map((side) => (
            <section key={side} class="card" aria-label={`${side} image`}>
              <h2>{side === 'left' ? 'Left image' : 'Right image'}</h2>
              {MEASURES.map((measure) => (
                <ScoreRow
                  key={measure.id}
                  side={side}
                  measure={measure}
                  value={scores[side][measure.id]}
                  onChange={(value) =>
                    setScores((now) => ({ ...now, [side]: { ...now[side], [measure.id]: value } }))
                  }
                />
              ))}
            </section>
          ))}
          <fieldset class="card better">
            <legend>Which is better?</legend>
            {CHOICES.map(({ value, label }) => (
              <label key={value}>
                <input
                  type="radio"
                  name="preferred"
                  checked={preferred === value}
                  onChange={() => prefer(value)}
                />
                {label}
              </label>
            ))}
          </fieldset>
          <Comment label="Comment" rows={2} value={comment} onInput={setComment} />
          <Failure text={error} />
          {!ready && (
            <p class="small muted">To save: rate both images on every scale, and say which is better.</p>
          )}
          <button type="submit" class="accept save" disabled={!ready || busy}>
            Save, next case
          </button>
        </form>
      </aside>
      {help && <Help groups={[{ title: 'Rating', shortcuts }]} onClose={() => setHelp(false)} />}
    </div>
  );
}
