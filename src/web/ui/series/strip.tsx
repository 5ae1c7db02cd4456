/** The quality figures of every slice, under each other; a click goes there. */
import { useMemo } from 'preact/hooks';
import { isFlagged, type Slot } from '../viewer/slots.js';

interface Measure {
  id: string;
  label: string;
  /** What it means, for a hover. */
  what: string;
  after: (quality: Readonly<Record<string, number>>) => number | undefined;
  before?: (quality: Readonly<Record<string, number>>) => number | undefined;
  show(value: number): string;
  /** The axis begins at 0; otherwise at the smallest value. */
  zero: boolean;
  /** The axis ends here at least, so that little looks little. */
  least?: number;
}

const percent = (value: number) => `${(100 * value).toFixed(value < 0.1 ? 2 : 1)} %`;

export const MEASURES: readonly Measure[] = [
  {
    id: 'severity',
    label: 'Severity',
    what: 'Estimate of 1 − SSIM with the slice as it would be without motion: 0 is none',
    after: (quality) => quality.severity,
    show: (value) => value.toFixed(2),
    zero: true,
    least: 0.3,
  },
  {
    id: 'residual',
    label: 'Residual energy',
    what: 'Energy of the change relative to that of the slice',
    after: (quality) => quality.residualEnergy,
    show: percent,
    zero: true,
    least: 0.01,
  },
  {
    id: 'sharpness',
    label: 'Sharpness',
    what: 'Variance of the Laplacian over that of the pixels; higher is sharper',
    before: (quality) => quality.sharpnessBefore,
    after: (quality) => quality.sharpnessAfter,
    show: (value) => value.toPrecision(3),
    zero: true,
  },
  {
    id: 'entropy',
    label: 'Gradient entropy',
    what: 'Entropy of the gradient, 0 to 1; motion raises it',
    before: (quality) => quality.gradientEntropyBefore,
    after: (quality) => quality.gradientEntropyAfter,
    show: (value) => value.toFixed(3),
    zero: false,
  },
];

const HEIGHT = 24;

function rangeOf(
  values: readonly (number | undefined)[],
  { zero, least = 0 }: Pick<Measure, 'zero' | 'least'>,
): { low: number; high: number } {
  const there = values.filter((value): value is number => value !== undefined && Number.isFinite(value));
  if (there.length === 0) return { low: 0, high: 1 };
  const high = Math.max(least, ...there);
  const low = zero ? 0 : Math.min(...there);
  return high > low
    ? { low: zero ? 0 : low - (high - low) * 0.15, high }
    : { low: low - 1, high: high + 1e-9 };
}

function Chart({ slots, measure }: { slots: readonly Slot[]; measure: Measure }) {
  const { after, before } = measure;
  const values = slots.map(({ quality }) => (quality ? after(quality) : undefined));
  const earlier = before && slots.map(({ quality }) => (quality ? before(quality) : undefined));
  const { low, high } = rangeOf([...values, ...(earlier ?? [])], measure);
  const heightOf = (value: number) => Math.max(0.8, ((value - low) / (high - low)) * (HEIGHT - 2));
  return (
    <svg viewBox={`0 0 ${slots.length} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      {slots.map((slot, index) => {
        const value = values[index];
        const was = earlier?.[index];
        const flagged = isFlagged(slot);
        return (
          <g key={slot.ids.first}>
            {value !== undefined && (
              <rect
                class={flagged ? 'bar flagged' : 'bar'}
                x={index + 0.12}
                width={0.76}
                y={HEIGHT - heightOf(value)}
                height={heightOf(value)}
              />
            )}
            {was !== undefined && (
              <rect class="before" x={index} width={1} y={HEIGHT - heightOf(was) - 0.6} height={1.4} />
            )}
          </g>
        );
      })}
    </svg>
  );
}

export function Strip({
  slots,
  index,
  onChoose,
}: {
  slots: readonly Slot[];
  index: number;
  onChoose(index: number): void;
}) {
  const charts = useMemo(
    () => MEASURES.map((measure) => <Chart key={measure.id} slots={slots} measure={measure} />),
    [slots],
  );
  const here = slots[index]?.quality;
  const choose = (event: MouseEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left) / box.width) * slots.length);
    onChoose(Math.max(0, Math.min(slots.length - 1, at)));
  };
  const drag = (event: PointerEvent) => {
    if (event.buttons === 1) choose(event);
  };
  return (
    <div class="strip" role="group" aria-label="Quality by slice">
      {MEASURES.map((measure, row) => {
        const value = here && measure.after(here);
        const was = here && measure.before?.(here);
        return (
          <div class="measure" key={measure.id} title={measure.what}>
            <span class="name">{measure.label}</span>
            <div class="chart" data-measure={measure.id} onClick={choose} onPointerMove={drag}>
              {charts[row]}
              <span
                class="here"
                style={{ left: `${(100 * index) / slots.length}%`, width: `${100 / slots.length}%` }}
              />
            </div>
            <span class="value figures">
              {was !== undefined && <span class="muted">{measure.show(was)} → </span>}
              {value === undefined ? '—' : measure.show(value)}
            </span>
          </div>
        );
      })}
    </div>
  );
}
