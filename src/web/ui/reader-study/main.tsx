/** The rating page: a study is chosen, then case by case is rated. */
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ROOT } from '../api.js';
import { Header, Notices } from '../header.js';
import { mayConfigure, useSession } from '../session.js';
import { listStudies, type ReaderStudyView } from './api.js';
import { NewStudy } from './new-study.js';
import { Rating } from './rating.js';

const STORED = 'mcnet.reader';

function wantedStudy(): string | undefined {
  return /^#\/([A-Za-z0-9_-]{1,64})$/.exec(location.hash)?.[1];
}

function Studies({
  reader,
  known,
  studies,
  onReader,
  onChange,
}: {
  reader: string;
  /** The server knows who it is. */
  known: boolean;
  studies: readonly ReaderStudyView[];
  onReader(reader: string): void;
  onChange(): void;
}) {
  // Its results say which side was which: they are not for readers.
  const runs = mayConfigure(useSession());
  return (
    <div class="studies">
      <h1>Reader study</h1>
      <p>
        Two versions of a series are shown side by side, in random order and on random sides. Rate each one by
        itself, then say which is better. You can stop after any case and go on later.
      </p>
      {!known && (
        <label class="reader">
          Reader
          <input
            type="text"
            value={reader}
            maxLength={64}
            placeholder="Your name or code"
            onInput={(event) => onReader(event.currentTarget.value)}
          />
        </label>
      )}
      <ul class="plain study-list">
        {studies.map(({ id, name, cases, rated }) => (
          <li key={id} class="card">
            <h2>{name}</h2>
            <p class="small muted">
              {reader === ''
                ? `${cases} cases`
                : rated === cases
                  ? `all ${cases} cases rated by ${reader}`
                  : `${rated} of ${cases} cases rated by ${reader}`}
            </p>
            <div class="actions">
              {reader === '' ? (
                <span class="small">Give your name to begin.</span>
              ) : (
                rated < cases && (
                  <a class="button" href={`#/${id}`}>
                    {rated === 0 ? 'Begin' : 'Go on'}
                  </a>
                )
              )}
              {runs && (
                <>
                  <a class="small" href={new URL(`api/reader-studies/${id}/ratings.csv`, ROOT).href}>
                    Ratings (CSV)
                  </a>
                  <a class="small" href={new URL(`api/reader-studies/${id}/statistics.csv`, ROOT).href}>
                    Kappa and tests (CSV)
                  </a>
                </>
              )}
            </div>
          </li>
        ))}
      </ul>
      {studies.length === 0 && <p class="muted">There is no reader study yet.</p>}
      {runs && <NewStudy onCreated={onChange} />}
    </div>
  );
}

function App() {
  const [reader, setReader] = useState(localStorage.getItem(STORED) ?? '');
  const [known, setKnown] = useState<string | null>(null);
  const [studies, setStudies] = useState<readonly ReaderStudyView[]>();
  const [study, setStudy] = useState(wantedStudy);
  const [error, setError] = useState('');
  const [version, again] = useState(0);
  const who = known ?? reader.trim();
  const isGone = useSession()?.ended === true;

  useEffect(() => {
    const timer = setTimeout(() => {
      listStudies(who).then(
        (found) => {
          setKnown(found.reader);
          setStudies(found.studies);
          setError('');
        },
        (failure: Error) => setError(failure.message),
      );
    }, 150);
    return () => clearTimeout(timer);
  }, [who, study, version]);
  useEffect(() => {
    const onHash = () => setStudy(wantedStudy());
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, []);

  return (
    <>
      <Header view="reader study">
        {study && known === null && who !== '' && <span class="small muted reader-name">Reader: {who}</span>}
      </Header>
      <Notices />
      <main id="main" tabIndex={-1}>
        {error !== '' && (
          <p class="notice" role="alert">
            {error}
          </p>
        )}
        {study && who !== '' && !isGone ? (
          <Rating key={study} study={study} reader={who} />
        ) : (
          studies &&
          !isGone && (
            <Studies
              reader={who}
              known={known !== null}
              studies={studies}
              onReader={(name) => {
                localStorage.setItem(STORED, name.trim());
                setReader(name);
              }}
              onChange={() => again((count) => count + 1)}
            />
          )
        )}
      </main>
    </>
  );
}

render(<App />, document.getElementById('app')!);
