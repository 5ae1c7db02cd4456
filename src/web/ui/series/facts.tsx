/** What is known of a series besides its pictures. */

import { canRetry, remarkSentences } from '../../attention.js';
import type { ProvenanceView, SeriesView } from '../api.js';
import { clock, duration, STATES, turnaround } from '../format.js';
import { Destinations, Fact, Progress, Retry } from '../parts.js';
import { mayDecide, useSession } from '../session.js';
import type { Slot } from '../viewer/slots.js';

function List({ items, what }: { items: readonly { key: string; text: string }[]; what: string }) {
  if (items.length === 0) return null;
  return (
    <details>
      <summary>{what}</summary>
      <ul class="plain small">
        {items.map(({ key, text }) => (
          <li key={key}>{text}</li>
        ))}
      </ul>
    </details>
  );
}

export function SliceFacts({ slot }: { slot: Slot | undefined }) {
  const flags = slot?.slice.flags ?? [];
  if (flags.length === 0) return null;
  return (
    <section class="card flags" aria-label="Flags of this slice">
      <h2>
        <span aria-hidden="true">⚑ </span>This slice
      </h2>
      <ul class="plain small">
        {flags.map((flag) => (
          <li key={flag.kind}>{flag.message}</li>
        ))}
      </ul>
    </section>
  );
}

export function Facts({
  series,
  provenance,
  title,
}: {
  series: SeriesView;
  provenance: readonly ProvenanceView[];
  title: string;
}) {
  const took = turnaround(series);
  const decides = mayDecide(useSession());
  return (
    <>
      <section class="card" aria-label="Progress and delivery">
        <h2>Delivery</h2>
        <Progress series={series} />
        <Destinations series={series} long />
        <dl>
          <Fact name="State">{series.reason || STATES[series.state].says}</Fact>
          {series.completeReason && <Fact name="Complete because">{series.completeReason}</Fact>}
          <Fact name="Last received">{clock(series.lastReceivedAt)}</Fact>
          {took && (
            <Fact name={`Last slice to ${took.to}`}>
              <span class="figures">{duration(took.ms)}</span>
            </Fact>
          )}
          {remarkSentences(series).length > 0 && (
            <Fact name="Safeguards">{remarkSentences(series).join('; ')}</Fact>
          )}
          <Fact name="Rule">{series.rule ?? 'no rule'}</Fact>
        </dl>
        <List
          what={`${series.failures.length} failures`}
          items={series.failures.map(({ sop, reason }) => ({ key: sop, text: reason }))}
        />
        <List
          what={`${series.refused?.length} refused on receipt`}
          items={(series.refused ?? []).map(({ sop, reason }) => ({ key: sop, text: reason }))}
        />
        <List
          what="Why slices were left alone"
          items={(series.leftAlone ?? []).map(({ reason, count }) => ({
            key: reason,
            text: `${count}: ${reason}`,
          }))}
        />
        {decides && canRetry(series) && <Retry series={series} name={title} />}
      </section>
      {provenance.map((made) => (
        <section class="card" aria-label="How it was made" key={made.series}>
          <h2>Made by</h2>
          <dl>
            <Fact name="Model">{made.softwareVersions[1] ?? 'unknown'}</Fact>
            <Fact name="Program">{made.softwareVersions[0] ?? 'unknown'}</Fact>
            {made.at && <Fact name="Source received">{made.at}</Fact>}
            <Fact name="Derivation">
              <span class="small">{made.description}</span>
            </Fact>
          </dl>
        </section>
      ))}
      <details class="card">
        <summary>Identifiers</summary>
        <dl>
          <Fact name="Study">
            <span class="uid">{series.study}</span>
          </Fact>
          <Fact name="Series">
            <span class="uid">{series.series}</span>
          </Fact>
          {series.derivedSeries?.map((uid) => (
            <Fact key={uid} name="Derived series">
              <span class="uid">{uid}</span>
            </Fact>
          ))}
        </dl>
      </details>
    </>
  );
}
