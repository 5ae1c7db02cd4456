import * as api from './api.js';
import { el } from './dom.js';
import { bytes, duration } from './format.js';
import { seriesFacts } from './series.js';
import { createViewer } from './viewer.js';
import { showWorklist } from './worklist.js';

const main = document.getElementById('main');
const live = document.getElementById('live');
/** @type {Map<string, object>} */
const known = new Map();
let opened;
let drawing = false;
let loaded = false;

function notice(text) {
  main.replaceChildren(el('p', { class: 'notice', role: 'alert' }, text));
}

/** Which series the address names; undefined for the worklist. */
function wanted() {
  return /^#\/series\/([\d.]{1,64})$/.exec(location.hash)?.[1];
}

function drawList() {
  if (!loaded) return;
  showWorklist(main, [...known.values()], drawList);
}

/** Many changes may come at once; the page is drawn once for all of them. */
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (opened) drawFacts();
    else if (!wanted()) drawList();
  });
}

function drawFacts() {
  const series = known.get(opened.uid);
  if (!series) return;
  opened.facts.replaceChildren(seriesFacts(series));
  const corrected = series.counts.corrected;
  if (corrected !== opened.corrected) {
    opened.corrected = corrected;
    const session = opened;
    clearTimeout(session.timer);
    session.timer = setTimeout(() => refreshImages(session), session.key === undefined ? 0 : 1000);
  }
}

/** Shows the images again when there are more of them; the slice in view stays. */
async function refreshImages(session) {
  const slices = await api.getSlices(session.uid).catch(() => []);
  const key = JSON.stringify(slices);
  if (opened !== session || key === session.key) return;
  const focused = session.images.contains(document.activeElement);
  session.key = key;
  session.viewer = createViewer(slices, session.viewer?.sop());
  session.images.replaceChildren(session.viewer.root);
  if (focused) session.images.querySelector('.panes')?.focus();
}

async function openSeries(uid) {
  const facts = el('div', { class: 'facts-column' });
  const images = el('div', { class: 'images-column' });
  const session = { uid, facts, images, corrected: -1, key: undefined, viewer: undefined, timer: undefined };
  try {
    known.set(uid, await api.getSeries(uid));
  } catch (error) {
    notice(error.message);
    return;
  }
  opened = session;
  main.replaceChildren(
    el(
      'div',
      { class: 'toolbar' },
      el('a', { href: '#/', class: 'back' }, '← All series'),
      el('h1', {}, 'Series ', el('span', { class: 'uid small' }, uid)),
    ),
    el('div', { class: 'detail' }, facts, images),
  );
  drawFacts();
}

async function route() {
  opened = undefined;
  const uid = wanted();
  document.title = uid ? 'Series · MC-Net' : 'MC-Net';
  if (uid) await openSeries(uid);
  else if (loaded) drawList();
  else main.replaceChildren();
}

async function reload() {
  try {
    const all = await api.listSeries();
    known.clear();
    loaded = true;
    for (const series of all) known.set(series.series, series);
    draw();
  } catch (error) {
    if (!opened) notice(error.message);
  }
}

function chip(label, value, title) {
  return el('li', { class: 'chip', title }, el('span', { class: 'muted' }, `${label} `), value);
}

async function showStatus() {
  try {
    const status = await api.getStatus();
    document.getElementById('ae-title').textContent = status.aeTitle;
    const jobs = status.queues.reduce((sum, queue) => sum + queue.jobs, 0);
    const dead = status.queues.reduce((sum, queue) => sum + queue.dead, 0);
    const oldest = Math.max(0, ...status.queues.map((queue) => queue.oldestAgeMs));
    const problems = status.destinations.filter((destination) => destination.problem);
    document
      .getElementById('status')
      .replaceChildren(
        chip(
          'Engine',
          `${status.engine.engine}, ${status.engine.provider}`,
          `${status.engine.device}, version ${status.engine.version}`,
        ),
        chip('Model', `${status.model.name} ${status.model.version}`, `sha256 ${status.model.sha256}`),
        chip('Queue', jobs === 0 ? 'empty' : `${jobs} (oldest ${duration(oldest)})`),
        ...(dead > 0 ? [el('li', { class: 'chip failed' }, `${dead} given up`)] : []),
        ...problems.map((destination) =>
          el(
            'li',
            { class: 'chip failed', title: destination.problem },
            `${destination.name} does not answer`,
          ),
        ),
        chip(
          'Archive',
          bytes(status.archive.bytes),
          status.archive.freeBytes === undefined ? '' : `${bytes(status.archive.freeBytes)} free`,
        ),
      );
  } catch {
    // The live mark says it already.
  }
}

function setLive(text, kind) {
  live.textContent = text;
  live.className = kind;
}

api.follow({
  connected() {
    setLive('Live', 'on');
    reload();
    showStatus();
  },
  series(series) {
    known.set(series.series, series);
    draw();
  },
  lost() {
    setLive('Connection lost, trying again', 'off');
  },
});
addEventListener('hashchange', route);
setInterval(showStatus, 3000);
setInterval(() => {
  // Only ages change by themselves; whoever is using the keyboard in the list is not disturbed.
  if (!opened && !main.contains(document.activeElement)) draw();
}, 5000);
route();
