/** Accept or reject, with a comment; all that was decided before. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { getReviews, type ReviewView, reviewSeries, type SeriesView } from '../api.js';
import { clock } from '../format.js';
import { Comment, Failure, Verdict } from '../parts.js';
import { mayDecide, useSession } from '../session.js';

export function Review({
  series,
  asked,
  onAsk,
}: {
  series: SeriesView;
  /** Which verdict is being given; undefined: none. */
  asked: ReviewView['verdict'] | undefined;
  onAsk(verdict: ReviewView['verdict'] | undefined): void;
}) {
  const [comment, setComment] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const [all, setAll] = useState<ReviewView[]>([]);
  const dialog = useRef<HTMLDialogElement>(null);
  const at = series.review?.at;
  useEffect(() => {
    getReviews(series.series).then(setAll, () => undefined);
  }, [series.series, at]);
  useEffect(() => {
    setError('');
    if (asked) dialog.current?.showModal();
    else dialog.current?.close();
  }, [asked]);
  const session = useSession();
  const may = mayDecide(session);
  const possible = may && series.counts.corrected > 0;

  async function decide(event: SubmitEvent) {
    event.preventDefault();
    setBusy(true);
    try {
      await reviewSeries(series.series, asked!, comment);
      setComment('');
      setError('');
      onAsk(undefined);
    } catch (failure) {
      setError((failure as Error).message);
    }
    setBusy(false);
  }

  return (
    <section class="card review" aria-label="Review">
      <h2>Review</h2>
      {series.hold && (
        <p class="small">
          {series.review?.verdict === 'accepted'
            ? 'This rule holds series until they are accepted.'
            : series.review
              ? 'Nothing more is delivered unless somebody accepts.'
              : 'Held: nothing is delivered until somebody accepts.'}
        </p>
      )}
      {session?.role === 'viewer' && <p class="small muted">Technologists decide; you may look.</p>}
      <div class="decide">
        <button type="button" class="accept" disabled={!possible} onClick={() => onAsk('accepted')}>
          Accept <kbd aria-hidden="true">A</kbd>
        </button>
        <button type="button" class="reject" disabled={!possible} onClick={() => onAsk('rejected')}>
          Reject <kbd aria-hidden="true">X</kbd>
        </button>
      </div>
      {all.length > 0 && (
        <ol class="plain reviews" aria-label="Reviews">
          {all.map((review) => (
            <li key={review.at}>
              <Verdict series={{ ...series, review }} />
              <span class="small muted">
                {' '}
                {review.reviewer}, {clock(review.at)}
              </span>
              {review.comment !== '' && <p class="comment">{review.comment}</p>}
            </li>
          ))}
        </ol>
      )}
      <dialog ref={dialog} class="decision" aria-labelledby="decision-title" onClose={() => onAsk(undefined)}>
        <form onSubmit={decide}>
          <h2 id="decision-title">
            {asked === 'rejected' ? 'Reject the correction' : 'Accept the correction'}
          </h2>
          <p class="small muted">
            {asked === 'rejected'
              ? 'What has not been delivered yet stays here, and nobody else can fetch it. The original is not touched.'
              : series.hold
                ? 'The corrected series is delivered to its destinations.'
                : 'The decision and the comment are kept with the series.'}
          </p>
          <Comment
            label="Comment (kept with the series, not sent)"
            rows={4}
            value={comment}
            onInput={setComment}
          />
          <Failure text={error} />
          <div class="actions">
            <button type="button" onClick={() => onAsk(undefined)}>
              Cancel
            </button>
            <button type="submit" class={asked === 'rejected' ? 'reject' : 'accept'} disabled={busy}>
              {asked === 'rejected' ? 'Reject' : 'Accept'}
            </button>
          </div>
        </form>
      </dialog>
    </section>
  );
}
