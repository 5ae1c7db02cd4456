/** Small pieces that several views show. */
import { type ComponentChildren, Fragment } from 'preact';
import { useState } from 'preact/hooks';
import { type DestinationView, retryFailed, retrySeries, type SeriesView } from './api.js';
import { duration, STATES } from './format.js';

export function StateBadge({ series }: { series: SeriesView }) {
  const { label, mark } = STATES[series.state] ?? { label: series.state, mark: '?' };
  const held = series.state === 'corrected' && series.hold && !series.review;
  return (
    <span class={`badge ${held ? 'held' : series.state}`}>
      <span aria-hidden="true">{held ? '‖' : mark}</span> {held ? 'Held' : label}
    </span>
  );
}

/** How far receiving and correction are: two bars in one, and the figures. */
export function Progress({ series }: { series: SeriesView }) {
  const { received, corrected, leftAlone, failed } = series.counts;
  const total = Math.max(series.expected ?? 0, received, 1);
  const share = (count: number) => `${(100 * count) / total}%`;
  const words = [`${corrected} of ${Math.max(series.expected ?? 0, received)} corrected`];
  if (series.state === 'receiving') words.push(`${received} received`);
  if (leftAlone > 0) words.push(`${leftAlone} left alone`);
  if (failed > 0) words.push(`${failed} failed`);
  return (
    <div class="progress">
      <div
        class="bar"
        role="progressbar"
        aria-label="Slices"
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={corrected + leftAlone + failed}
        aria-valuetext={words.join(', ')}
      >
        <span class="received" style={{ width: share(received) }} />
        <span class="corrected" style={{ width: share(corrected) }} />
        {failed > 0 && <span class="failed" style={{ width: share(failed), left: share(corrected) }} />}
      </div>
      <span class="small figures">{words.join(' · ')}</span>
    </div>
  );
}

const DESTINATION_MARKS = { waiting: '…', sending: '↑', delivered: '✓', failed: '!' };

export function destinationSentence(destination: DestinationView): string {
  const words = [`${destination.delivered} delivered`];
  if (destination.pending) words.push(`${destination.pending} waiting`);
  if (destination.failed) words.push(`${destination.failed} failed`);
  if (destination.attempts > 1) words.push(`attempt ${destination.attempts}`);
  if (destination.nextAttemptAt !== undefined && destination.nextAttemptAt > Date.now())
    words.push(`next in ${duration(destination.nextAttemptAt - Date.now())}`);
  if (destination.lastError) words.push(destination.lastError);
  return words.join(' · ');
}

export function Destinations({ series, long = false }: { series: SeriesView; long?: boolean }) {
  if (series.destinations.length === 0) return <span class="muted small">none by rule</span>;
  return (
    <ul class={long ? 'plain destinations' : 'chips'}>
      {series.destinations.map((destination) => {
        const { name, state, lastError } = destination;
        const rejected = state === 'waiting' && series.review?.verdict === 'rejected';
        const again = state === 'waiting' && lastError !== undefined && !rejected;
        const mark = rejected ? '–' : again ? '↻' : (DESTINATION_MARKS[state] ?? '?');
        const says = rejected
          ? `${destination.delivered} delivered · no more: rejected`
          : destinationSentence(destination);
        return (
          <li key={name} title={long ? undefined : says}>
            <span class={`chip ${again ? 'flag' : state}`}>
              <span aria-hidden="true">{mark} </span>
              {name}
              <span class="hidden">: {rejected ? 'not sent' : again ? 'to be tried again' : state}</span>
            </span>
            {long && <span class="small muted"> {says}</span>}
          </li>
        );
      })}
    </ul>
  );
}

/** What a person has decided about a series. */
export function Verdict({ series }: { series: SeriesView }) {
  const { review } = series;
  if (!review) return null;
  return (
    <span class={`badge ${review.verdict === 'accepted' ? 'delivered' : 'failed'}`}>
      <span aria-hidden="true">{review.verdict === 'accepted' ? '✓' : '✕'}</span>{' '}
      {review.verdict === 'accepted' ? 'Accepted' : 'Rejected'}
    </span>
  );
}

/** A button that sets something going, and says what came of it. */
function SetGoing({ label, name, run }: { label: string; name: string; run(): Promise<string> }) {
  const [said, say] = useState('');
  const [busy, setBusy] = useState(false);
  return (
    <span class="retry">
      <button
        type="button"
        disabled={busy}
        aria-label={name}
        onClick={async () => {
          setBusy(true);
          say(await run().catch((error: Error) => error.message));
          setBusy(false);
        }}
      >
        {label}
      </button>
      <span role="status" class="small">
        {said}
      </span>
    </span>
  );
}

/** Does again what failed of a series. */
export function Retry({ series, name }: { series: SeriesView; name: string }) {
  const run = async () => {
    await retrySeries(series.series);
    return 'Set going again';
  };
  return <SetGoing label="Retry" name={`Retry ${name}`} run={run} />;
}

/** Does again what failed of every series that failed, shown or not. */
export function RetryFailed() {
  const run = async () => {
    const count = await retryFailed();
    return `${count} series set going again`;
  };
  return <SetGoing label="Retry all failed" name="Retry all failed" run={run} />;
}

/** Facts after each other; none of them turns round what stands beside it, whichever way it is written. */
export function Line({ facts }: { facts: readonly string[] }) {
  return (
    <>
      {facts.map((fact, index) => (
        <Fragment key={index}>
          {index > 0 && ' · '}
          <bdi class="fact">{fact}</bdi>
        </Fragment>
      ))}
    </>
  );
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** Characters that the server keeps of a comment. */
const COMMENT_LENGTH = 2000;

export function Comment({
  label,
  rows,
  value,
  onInput,
}: {
  label: string;
  rows: number;
  value: string;
  onInput(text: string): void;
}) {
  return (
    <label class="comment-field">
      {label}
      <textarea
        rows={rows}
        maxLength={COMMENT_LENGTH}
        value={value}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </label>
  );
}

/** Why something that was asked for did not happen. */
export function Failure({ text }: { text: string }) {
  if (text === '') return null;
  return (
    <p role="alert" class="error">
      {text}
    </p>
  );
}
