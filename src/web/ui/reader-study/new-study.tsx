/** For whoever runs a study: which series are compared. */
import { useEffect, useState } from 'preact/hooks';
import { listSeries, type SeriesView } from '../api.js';
import { seriesTitle, studyFacts } from '../format.js';
import { Failure, Line } from '../parts.js';
import { createStudy } from './api.js';

export function NewStudy({ onCreated }: { onCreated(): void }) {
  const [open, setOpen] = useState(false);
  const [all, setAll] = useState<SeriesView[]>([]);
  const [name, setName] = useState('');
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set());
  const [error, setError] = useState('');
  useEffect(() => {
    if (!open) return;
    listSeries().then(
      (series) => setAll(series.filter(({ counts }) => counts.corrected > 0)),
      (failure: Error) => setError(failure.message),
    );
  }, [open]);
  const toggle = (uid: string) => {
    const next = new Set(chosen);
    if (!next.delete(uid)) next.add(uid);
    choose(next);
  };
  return (
    <details class="card" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>New study</summary>
      <form
        class="new-study"
        onSubmit={async (event) => {
          event.preventDefault();
          try {
            await createStudy(name, [...chosen]);
            setName('');
            choose(new Set());
            setError('');
            setOpen(false);
            onCreated();
          } catch (failure) {
            setError((failure as Error).message);
          }
        }}
      >
        <label>
          Name
          <input
            type="text"
            required
            maxLength={100}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <fieldset>
          <legend>Series ({chosen.size} chosen)</legend>
          {all.map((series) => (
            <label key={series.series} class="choice">
              <input
                type="checkbox"
                checked={chosen.has(series.series)}
                onChange={() => toggle(series.series)}
              />{' '}
              {seriesTitle(series)}{' '}
              <span class="small muted">
                <Line
                  facts={[
                    series.about?.patient ?? 'Unknown patient',
                    ...studyFacts(series),
                    `${series.counts.corrected} slices`,
                  ]}
                />
              </span>
            </label>
          ))}
          {all.length === 0 && <p class="small muted">No series has been corrected yet.</p>}
        </fieldset>
        <Failure text={error} />
        <div>
          <button type="submit" class="accept" disabled={chosen.size === 0 || name.trim() === ''}>
            Create
          </button>
        </div>
      </form>
    </details>
  );
}
