import { previewUrl } from './api.js';
import { el, svg } from './dom.js';

const VIEWS = [
  { of: 'source', title: 'Original' },
  { of: 'derived', title: 'Corrected' },
  { of: 'residual', title: 'Change' },
];
const FRAMES_A_SECOND = 12;

/** Every frame of every slice, one after the other. */
function frames(slices) {
  return slices.flatMap((slice) =>
    Array.from({ length: Math.max(1, slice.frames) }, (_, i) => ({ slice, frame: i + 1 })),
  );
}

function strip(all, choose) {
  const values = all.map(({ slice }) => slice.quality?.residualEnergy);
  const most = Math.max(...values.map((value) => value ?? 0));
  if (!(most > 0)) return null;
  const bars = values.map((value, i) => {
    const height = value === undefined ? 0 : Math.max(2, (38 * value) / most);
    return svg('rect', { x: i + 0.1, width: 0.8, y: 40 - height, height, 'data-index': i });
  });
  const graph = svg(
    'svg',
    { viewBox: `0 0 ${all.length} 40`, preserveAspectRatio: 'none', class: 'strip', 'aria-hidden': 'true' },
    ...bars,
  );
  graph.addEventListener('click', (event) => {
    const box = graph.getBoundingClientRect();
    choose(Math.floor(((event.clientX - box.left) / box.width) * all.length));
  });
  return graph;
}

function facts({ slice, frame }, index, count) {
  const words = [`Slice ${index + 1} of ${count}`];
  if (slice.frames > 1) words.push(`frame ${frame}`);
  if (slice.position !== undefined) words.push(`${slice.position.toFixed(1)} mm`);
  if (slice.quality?.residualEnergy !== undefined) {
    words.push(`residual energy ${(100 * slice.quality.residualEnergy).toFixed(2)} %`);
  }
  if (slice.derived) words.push('change: full colour at ± 25 % of the window');
  else words.push(slice.reason ? `not corrected: ${slice.reason}` : 'not corrected yet');
  return words.join(' · ');
}

/**
 * Original, corrected and the change between them, scrolled together by position.
 * @param {object[]} slices as the API lists them
 * @param {string | undefined} sop the SOP Instance UID of the slice to begin with; default: the middle one
 * @returns {{ root: HTMLElement, sop(): string | undefined }} the element, and which slice it shows
 */
export function createViewer(slices, sop) {
  const all = frames(slices);
  if (all.length === 0)
    return { root: el('p', { class: 'notice' }, 'No images to show.'), sop: () => undefined };
  const wanted = all.findIndex(({ slice }) => slice.sop === sop);
  let index = wanted >= 0 ? wanted : Math.floor(all.length / 2);
  let timer;
  const images = VIEWS.map(({ of, title }) => ({
    of,
    title,
    image: el('img', { alt: '', draggable: 'false' }),
    missing: el('span', { class: 'missing' }),
  }));
  const caption = el('output', { class: 'facts', 'aria-live': 'polite' });
  const slider = el('input', {
    type: 'range',
    min: '0',
    max: String(all.length - 1),
    'aria-label': 'Slice',
    onInput: () => show(Number(slider.value)),
  });
  const play = el('button', { type: 'button', 'aria-pressed': 'false', onClick: () => toggle() }, 'Play');
  const bars = strip(all, (chosen) => show(chosen));

  function show(wanted) {
    index = Math.max(0, Math.min(all.length - 1, wanted));
    const { slice, frame } = all[index];
    slider.value = String(index);
    slider.setAttribute('aria-valuetext', facts(all[index], index, all.length));
    caption.textContent = facts(all[index], index, all.length);
    for (const { of, title, image, missing } of images) {
      const there = of === 'source' || slice.derived;
      image.hidden = !there;
      missing.textContent = there ? '' : 'not there';
      if (there) image.src = previewUrl(slice.id, of, frame);
      image.alt = `${title}, ${facts(all[index], index, all.length)}`;
    }
    for (const bar of bars?.children ?? []) bar.classList.toggle('here', Number(bar.dataset.index) === index);
    for (const near of [index - 1, index + 1, index + 2]) {
      const next = all[near];
      for (const { of } of VIEWS) {
        if (next && (of === 'source' || next.slice.derived))
          new Image().src = previewUrl(next.slice.id, of, next.frame);
      }
    }
  }

  function toggle() {
    if (timer) clearInterval(timer);
    timer = timer
      ? undefined
      : setInterval(
          () => (root.isConnected ? show((index + 1) % all.length) : toggle()),
          1000 / FRAMES_A_SECOND,
        );
    play.textContent = timer ? 'Stop' : 'Play';
    play.setAttribute('aria-pressed', String(Boolean(timer)));
  }

  let wheel = 0;
  const panes = el(
    'div',
    {
      class: 'panes',
      tabindex: '0',
      role: 'group',
      'aria-label': 'Images; arrow keys change the slice, space plays',
      onWheel: (event) => {
        event.preventDefault();
        wheel += event.deltaY;
        const steps = Math.trunc(wheel / 40);
        wheel -= steps * 40;
        if (steps !== 0) show(index + steps);
      },
      onKeydown: (event) => {
        const steps = {
          ArrowUp: -1,
          ArrowLeft: -1,
          ArrowDown: 1,
          ArrowRight: 1,
          PageUp: -10,
          PageDown: 10,
          Home: -all.length,
          End: all.length,
        };
        if (event.key === ' ') toggle();
        else if (event.key in steps) show(index + steps[event.key]);
        else return;
        event.preventDefault();
      },
    },
    ...images.map(({ title, image, missing, of }) =>
      el(
        'figure',
        {},
        el(
          'figcaption',
          {},
          title,
          of === 'residual'
            ? el('span', { class: 'scale small' }, ' − darker ', el('span', { class: 'ramp' }), ' brighter +')
            : null,
        ),
        el('div', { class: 'frame' }, image, missing),
      ),
    ),
  );
  const root = el(
    'section',
    { class: 'viewer', 'aria-label': 'Images' },
    panes,
    bars ? el('div', {}, el('div', { class: 'small muted' }, 'Residual energy by slice'), bars) : null,
    el('div', { class: 'controls' }, play, slider, caption),
  );
  show(index);
  return { root, sop: () => all[index].slice.sop };
}
