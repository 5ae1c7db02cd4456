import { createRandom, type Random } from './random.js';
import type { Affine, Volume } from './volume.js';

/**
 * A synthetic head, made by this project, that looks like a T1-weighted MP-RAGE: folded cortex, white matter, ventricles, deep nuclei,
 * cerebellum with folia, brain stem, eyes, skull, scalp and neck, a smooth coil profile and Rician noise. The anatomy varies with the seed.
 * Coordinates are RAS mm about the middle of the brain.
 */
export interface PhantomOptions {
  readonly seed: number;
  /** Voxels from right to left (slices of a sagittal stack). Default 160. */
  readonly slices?: number;
  /** Rows, superior to inferior. Default 192. */
  readonly rows?: number;
  /** Columns, anterior to posterior. Default 192. */
  readonly columns?: number;
  /** [between slices, between rows, between columns] in mm. Default 1.1, 1.3, 1.3. */
  readonly spacing?: readonly [number, number, number];
  /** Standard deviation of the noise as a share of white matter's intensity. Default 0.02. */
  readonly noise?: number;
  /** Brain only, on a background of exactly zero, without noise outside. Default false. */
  readonly brainOnly?: boolean;
}

type Noise3 = (x: number, y: number, z: number) => number;

/** Smooth noise (trilinear between random values on a lattice of 1 mm units given by `scale`, quintic fade), about −1 to 1. */
function latticeNoise(random: Random, scale: number): Noise3 {
  const size = 32;
  const values = Float32Array.from({ length: size * size * size }, () => random.between(-1, 1));
  const fade = (u: number): number => u * u * u * (u * (6 * u - 15) + 10);
  return (x, y, z) => {
    const px = x / scale;
    const py = y / scale;
    const pz = z / scale;
    const ix = Math.floor(px);
    const iy = Math.floor(py);
    const iz = Math.floor(pz);
    const u = fade(px - ix);
    const v = fade(py - iy);
    const w = fade(pz - iz);
    const x0 = ix & 31;
    const x1 = (ix + 1) & 31;
    const y0 = (iy & 31) * size;
    const y1 = ((iy + 1) & 31) * size;
    const z0 = (iz & 31) * size * size;
    const z1 = ((iz + 1) & 31) * size * size;
    const a = values[x0 + y0 + z0]! * (1 - u) + values[x1 + y0 + z0]! * u;
    const b = values[x0 + y1 + z0]! * (1 - u) + values[x1 + y1 + z0]! * u;
    const c = values[x0 + y0 + z1]! * (1 - u) + values[x1 + y0 + z1]! * u;
    const d = values[x0 + y1 + z1]! * (1 - u) + values[x1 + y1 + z1]! * u;
    const e = a * (1 - v) + b * v;
    const f = c * (1 - v) + d * v;
    return e * (1 - w) + f * w;
  };
}

/** 0 to 1 across an edge about `width` mm wide; 1 where the signed distance is negative (inside). */
function inside(distance: number, width: number): number {
  const t = 0.5 - distance / width;
  return t <= 0 ? 0 : t >= 1 ? 1 : t * t * (3 - 2 * t);
}

/** Approximate signed distance in mm to an ellipsoid of radii a, b, c about the origin. */
function ellipsoid(x: number, y: number, z: number, a: number, b: number, c: number): number {
  const u = x / a;
  const v = y / b;
  const w = z / c;
  const k0 = Math.sqrt(u * u + v * v + w * w);
  const k1 = Math.sqrt((u / a) * (u / a) + (v / b) * (v / b) + (w / c) * (w / c));
  return k1 < 1e-9 ? -Math.min(a, b, c) : (k0 * (k0 - 1)) / k1;
}

/** Signed distance to a segment's tube with radii ra at one end, rb at the other. */
function tube(
  x: number,
  y: number,
  z: number,
  a: readonly [number, number, number],
  b: readonly [number, number, number],
  ra: number,
  rb: number,
): number {
  const dx = b[0] - a[0];
  const dy = b[1] - a[1];
  const dz = b[2] - a[2];
  const t = Math.min(
    1,
    Math.max(0, ((x - a[0]) * dx + (y - a[1]) * dy + (z - a[2]) * dz) / (dx * dx + dy * dy + dz * dz)),
  );
  const ex = x - a[0] - t * dx;
  const ey = y - a[1] - t * dy;
  const ez = z - a[2] - t * dz;
  return Math.sqrt(ex * ex + ey * ey + ez * ez) - (ra + t * (rb - ra));
}

/** Union of two signed distances with a fillet of about k mm. */
function smoothUnion(a: number, b: number, k: number): number {
  const h = Math.max(0, k - Math.abs(a - b)) / k;
  return Math.min(a, b) - 0.25 * h * h * k;
}

/**
 * Approximate distance in mm to a gyroid, a surface that folds through all of space: warped, its sheets are sulci. The
 * sheets are about half a period apart.
 */
function gyroid(x: number, y: number, z: number, period: number): number {
  const k = (2 * Math.PI) / period;
  const a = Math.sin(k * x) * Math.cos(k * y);
  const b = Math.sin(k * y) * Math.cos(k * z);
  const c = Math.sin(k * z) * Math.cos(k * x);
  return Math.abs(a + b + c) / (1.45 * k);
}

interface Anatomy {
  tissue(x: number, y: number, z: number, edge: number): { brain: number; head: number };
  bias(x: number, y: number, z: number): number;
}

/** Relative intensities of MP-RAGE at 3 T, white matter 1. */
const WHITE = 1;
const GREY = 0.62;
const FLUID = 0.2;
const NUCLEI = 0.76;
const THALAMUS = 0.82;
const BONE = 0.06;
const MARROW = 0.55;
const FAT = 1.05;
const MUSCLE = 0.45;
const SKIN = 0.5;
const MUCOSA = 0.5;
const VITREOUS = 0.16;

function createAnatomy(seed: number): Anatomy {
  const random = createRandom(seed, 'phantom');
  const vary = (value: number, share: number): number => value * (1 + share * random.between(-1, 1));
  const width = vary(66, 0.05);
  const length = vary(84, 0.05);
  const height = vary(60, 0.05);
  const depth = vary(8.5, 0.15);
  const cortex = vary(3.1, 0.1);
  const ventricle = vary(1, 0.35);
  const gap = vary(3.2, 0.4);
  const bone = vary(6.5, 0.2);
  const fat = vary(3.6, 0.4);
  const noseLength = vary(22, 0.2);
  const sulcusScale = vary(36, 0.08);
  const warpX = latticeNoise(random, 42);
  const warpY = latticeNoise(random, 42);
  const warpZ = latticeNoise(random, 42);
  const wiggleX = latticeNoise(random, 19);
  const wiggleY = latticeNoise(random, 19);
  const wiggleZ = latticeNoise(random, 19);
  const fissure = latticeNoise(random, 22);
  const texture = latticeNoise(random, 7);
  const marrowNoise = latticeNoise(random, 9);
  const muscleNoise = latticeNoise(random, 10);
  const fatNoise = latticeNoise(random, 24);
  const faceNoise = latticeNoise(random, 8);
  const biasNoise = latticeNoise(random, 90);
  const foliaPhase = random.between(0, 2 * Math.PI);
  const biasTilt = [random.between(-1, 1), random.between(-1, 1), random.between(-1, 1)] as const;

  /** Outline of the cerebral hemispheres without their folds: frontal and occipital poles, temporal lobes. */
  const cerebrum = (x: number, y: number, z: number): number => {
    const ax = Math.abs(x);
    const main = ellipsoid(ax, y, z - 6 + 0.0012 * y * y, width, length, height - 2);
    const temporal = tube(ax, y, z, [46, 30, -25], [44, -26, -17], 14.5, 17);
    const frontal = ellipsoid(ax - 24, y - 50, z + 3, 27, 30, 26);
    const occipital = ellipsoid(ax - 20, y + 60, z + 2, 25, 26, 25);
    let d = smoothUnion(main, frontal, 12);
    d = smoothUnion(d, occipital, 12);
    // the flat underside, above which the cerebellum, the stem and the orbits stand
    const floor = -(z + (y > 14 ? 24 - 0.1 * (y - 14) : 18 + 0.16 * (y + 30)));
    d = Math.max(d, floor);
    d = smoothUnion(d, temporal, 7);
    return d;
  };

  const tissue = (x0: number, y0: number, z0: number, edge: number): { brain: number; head: number } => {
    // air, far from everything
    if (ellipsoid(x0, y0 - 4, z0 + 6, 92, 122, 88) > 0 && (z0 > -40 || Math.abs(x0) > 80 || y0 < -110)) {
      return { brain: 0, head: 0 };
    }
    // anatomy of one's own: everything bent by a few mm
    const x = x0 + 3 * warpX(x0, y0, z0);
    const y = y0 + 4 * warpY(x0, y0, z0);
    const z = z0 + 3 * warpZ(x0, y0, z0);
    const ax = Math.abs(x);

    const outline = cerebrum(x, y, z);
    const cerebellumOutline = smoothUnion(
      ellipsoid(ax - 23, y + 52, z + 38, 30, 28, 21),
      ellipsoid(x, y + 50, z + 36, 14, 23, 23),
      8,
    );
    const pons = ellipsoid(x, y + 20, z + 34, 15, 13, 15);
    const stem = smoothUnion(
      smoothUnion(pons, tube(x, y, z, [0, -20, -16], [0, -22, -40], 12, 11), 6),
      tube(x, y, z, [0, -25, -42], [0, -38, -130], 9, 6),
      7,
    );
    const brainCase = smoothUnion(smoothUnion(outline, cerebellumOutline, 26), stem + 1, 18);

    const side = x > 0 ? 0 : 11;
    let brain = 0;
    let level = FLUID;
    if (outline < 8) {
      // sulci are valleys where |fold| is small, deepest at the surface, absent in the depth
      const wx = x + 9 * wiggleX(x, y, z) + side;
      const wy = y + 9 * wiggleY(x, y, z);
      const wz = z + 9 * wiggleZ(x, y, z);
      const fold = Math.min(
        gyroid(wx, wy, wz, sulcusScale),
        gyroid(wz + 40, wx, wy, 0.8 * sulcusScale) + Math.max(0, 0.4 * (-outline - 5)),
      );
      const fade = Math.max(0, 0.4 * (-outline - 2 * depth));
      const sulcus = 0.8 + 0.45 * texture(y, z, x) - fold - fade;
      // Sylvian fissure and the fissure between the hemispheres
      const sylvian =
        1.3 -
        Math.abs(z + 9 + 0.28 * (y - 10) + 3 * fissure(x, y, 0)) -
        Math.max(0, 34 - ax) -
        Math.max(0, -32 - y) -
        Math.max(0, y - 34);
      const callosum = callosumDistance(ax, y, z);
      const falx =
        1.1 +
        0.5 * fissure(y, z, 7) -
        ax -
        Math.max(0, 3.5 - callosum) -
        Math.max(0, z < 4 && callosum > 0 && y < 22 && y > -34 ? 8 : 0);
      const pial = Math.max(outline, sulcus, sylvian, falx);
      const whiteEdge = pial + cortex * (1 + 0.15 * texture(x, y, z));
      let value = FLUID + (GREY - FLUID) * inside(pial, edge);
      value += (WHITE - GREY) * inside(whiteEdge, edge * 1.4);
      if (ax < 50 && z > -36 && z < 36) value = deepStructures(value, x, y, z, ax, edge, ventricle);
      level = value;
      brain = inside(pial, edge);
    }
    if (cerebellumOutline < 6) {
      const arc = Math.hypot(y + 34, (z + 34) * 1.25);
      const folia = Math.sin((2 * Math.PI * (arc + 2 * wiggleX(x, y, z))) / 5.2 + foliaPhase);
      const depthIn = -cerebellumOutline;
      const surface = cerebellumOutline + 0.9 * Math.max(0, folia) * Math.max(0, 1 - depthIn / 14);
      const branches = depthIn - 7.5 - 4 * folia - 2.5 * texture(x, y, z) - 4 * fissure(x, y, z);
      let value = GREY * (0.98 - 0.12 * Math.max(0, folia));
      value += (0.93 - value) * inside(-branches, 5);
      const cover = inside(surface, edge);
      const gapAbove = inside(-(outline - 1.6), edge);
      level = level + (value - level) * cover * gapAbove;
      brain = Math.max(brain, cover * gapAbove);
    }
    const stemCover = inside(stem, edge) * (z < -14 ? 1 : inside(-14 - z + 0 * y, 8));
    if (stemCover > 0) {
      level += (0.93 - 0.06 * texture(x, y, z) - level) * stemCover;
      brain = Math.max(brain, stemCover * (z > -62 ? 1 : 0));
    }
    // fourth ventricle
    const fourth = ellipsoid(x, y + 34, z + 38, 6 * ventricle, 3.2 * ventricle, 9);
    level += (FLUID - level) * inside(fourth, edge) * inside(cerebellumOutline - 6, 4);

    // around the brain: fluid, bone with marrow, fat, skin
    const shell = brainCase - gap;
    const skullOuter = shell - bone;
    const scalpOuter = skullOuter - fat * (1 + 0.35 * fatNoise(x, y, z)) - 1.8;
    const faceTop = tube(ax, y, z, [24, 58, -44], [16, 44, -88], 36, 26);
    const jaw = tube(ax, y, z, [34, 10, -78], [14, 52, -108], 15, 15);
    const neck = tube(x, y, z, [0, -22, -60], [0, -36, -190], 54, 54);
    const mouth = tube(ax, y, z, [4, 70, -70], [8, 76, -94], 22, 18);
    const nose = tube(x, y, z, [0, 82, -24], [0, 80 + noseLength, -58], 7, 9);
    let skin = smoothUnion(scalpOuter, faceTop, 22);
    skin = smoothUnion(skin, neck, 26);
    skin = smoothUnion(skin, jaw, 12);
    skin = smoothUnion(skin, mouth, 10);
    skin = smoothUnion(skin, nose, 9);
    let around = 0;
    if (skin < 4 && shell > -4) {
      around = SKIN * inside(skin, edge);
      around += (FAT * (1 + 0.12 * fatNoise(z, x, y)) - SKIN) * inside(skin + 1.8, edge);
      const deep = Math.max(skin + fat * 0.75, -(skullOuter - 0.5));
      const flesh =
        MUSCLE *
        (1 + 0.22 * muscleNoise(x, y, 0.45 * z) + 0.5 * Math.max(0, fatNoise(2 * x, 2 * y, 0.8 * z)));
      around += (flesh - around) * inside(deep, 2 * edge) * inside(z + 14 + 0.25 * Math.max(0, -y - 40), 10);
      if (z < 16 && y > -50) around = faceStructures(around, x, y, z, ax, edge, faceNoise, skin);
      around += (BONE - around) * inside(skullOuter, edge);
      const marrow = Math.max(shell + 0, -(shell - bone * 0.32), skullOuter + bone * 0.3);
      around +=
        (MARROW * (0.8 + 0.5 * marrowNoise(x, y, z)) - around) *
        inside(marrow, 1.6 * edge) *
        inside(-z - 4, 14);
      // vertebrae and discs in front of the cord, and the cord's own canal
      const spineY = -22 - 0.18 * (-62 - z);
      const vertebra = Math.max(Math.abs(x) - 13, Math.abs(y - spineY) - 9, z + 66);
      const disc = Math.abs(((((-z - 66) % 17) + 17) % 17) - 8.5) - 6.8;
      around += (0.6 * (disc < 0 ? 1 : 0.55) - around) * inside(vertebra, 2 * edge);
      const canal = tube(x, y, z, [0, -27, -52], [0, -41, -140], 11, 9);
      around += (FLUID - around) * inside(canal, edge);
    }
    const within = inside(shell, edge);
    let head = around + (FLUID * 0.9 - around) * within;
    const stemLow = inside(stem, edge);
    const show = Math.max(brain, within * (level > 0 ? 1 : 0));
    head += (level - head) * show * Math.max(within, brain);
    if (z < -40) head += (0.88 - head) * stemLow * (1 - brain);
    return { brain: brain * level, head: Math.max(0, head) };
  };

  const bias = (x: number, y: number, z: number): number =>
    1 +
    0.1 * biasNoise(x, y, z) +
    0.0012 * (biasTilt[0] * x + biasTilt[1] * y + biasTilt[2] * z) -
    0.12 * inside(-(z + 75), 120);
  return { tissue, bias };
}

/** Distance to the corpus callosum in the sagittal plane: an arch with a thick front and back end. */
function callosumDistance(ax: number, y: number, z: number): number {
  const arch = Math.hypot((y + 4) / 1.5, (z + 0.5) / 1) - 21;
  const arc = Math.abs(arch) - (2.8 + 1.4 * Math.min(1, Math.abs(y + 4) / 30) ** 2);
  const cut = -(z - 2 - 0.12 * Math.abs(y + 4));
  return Math.max(arc, cut, ax - 14);
}

function deepStructures(
  start: number,
  x: number,
  y: number,
  z: number,
  ax: number,
  edge: number,
  ventricle: number,
): number {
  let value = start;
  const blend = (level: number, distance: number, sharpness = 1): void => {
    value += (level - value) * inside(distance, edge * sharpness);
  };
  // the core of the hemispheres is white, the callosum joins them
  blend(WHITE, callosumDistance(ax, y, z), 1);
  const core = ellipsoid(ax - 22, y + 2, z - 8, 19, 44, 20);
  blend(WHITE, core, 4);
  // between and below the callosum: septum and ventricles
  const body = tube(ax, y, z, [5.5, 28, 7], [9, -14, 17], 4.6 * ventricle, 4.4 * ventricle);
  const front = tube(ax, y, z, [6, 32, 4], [6, 20, 6], 4.5 * ventricle, 4 * ventricle);
  const atrium = tube(ax, y, z, [10, -16, 16], [23, -40, 3], 4.4 * ventricle, 6 * ventricle);
  const horn = tube(ax, y, z, [23, -40, 3], [21, -58, 2], 5 * ventricle, 2.2 * ventricle);
  const temporal = tube(ax, y, z, [25, -38, 0], [31, -10, -17], 3.5 * ventricle, 2 * ventricle);
  const lateral = Math.max(Math.min(body, front, atrium, horn, temporal), 0.7 - ax);
  // deep nuclei
  const thalamus = ellipsoid(ax - 11.5, y + 12, z - 5, 9.5, 15, 9.5);
  const caudate = Math.min(
    ellipsoid(ax - 13, y - 20, z - 5, 5.5, 10, 7.5),
    tube(ax, y, z, [14, 14, 12], [17, -14, 18], 4, 2.6),
  );
  const lentiform = ellipsoid(ax - 25 - 0.12 * y, y - 2, z - 1, 7.5, 18, 9.5);
  const pallidum = ellipsoid(ax - 20, y - 0, z + 0, 4.5, 10, 6.5);
  const amygdala = ellipsoid(ax - 23, y - 2, z + 19, 8, 8, 8);
  const hippocampus = tube(ax, y, z, [25, -8, -20], [22, -30, -7], 6, 4.5);
  blend(GREY + 0.03, amygdala, 1.5);
  blend(GREY + 0.02, hippocampus, 1.5);
  blend(NUCLEI, lentiform, 1.6);
  blend(0.9, pallidum, 2);
  blend(THALAMUS, thalamus, 2);
  blend(NUCLEI - 0.02, caudate, 1.4);
  // midbrain and hypothalamus around the third ventricle
  const middle = ellipsoid(x, y + 12, z + 11, 13, 15, 12);
  blend(0.86, middle, 3);
  const third = Math.max(ax - 1.6 * ventricle, ellipsoid(x, y + 8, z + 3, 4, 16, 11));
  blend(FLUID, third);
  blend(FLUID, lateral);
  const cistern = Math.max(ellipsoid(x, y - 12, z + 22, 11, 9, 6), ellipsoid(x, y - 10, z + 24, 14, 14, 9));
  blend(FLUID, cistern, 1.5);
  return value;
}

function faceStructures(
  start: number,
  x: number,
  y: number,
  z: number,
  ax: number,
  edge: number,
  noise: Noise3,
  skin: number,
): number {
  let value = start;
  const blend = (level: number, distance: number, sharpness = 1): void => {
    value += (level - value) * inside(distance, edge * sharpness);
  };
  // orbits: fat with the eye, its lens, muscles and nerve
  const orbit = tube(ax, y, z, [31, 72, -32], [14, 34, -26], 18, 5);
  blend(FAT * 0.85, Math.max(orbit, skin + 3), 1.5);
  const globe = ellipsoid(ax - 31, y - 76, z + 32, 12, 12, 12);
  blend(0.55, globe);
  blend(VITREOUS, globe + 1.4);
  blend(0.6, ellipsoid(ax - 31, y - 86, z + 32, 4.5, 2, 4.5));
  blend(MUSCLE, tube(ax, y, z, [30, 64, -31], [14, 34, -26], 2.6, 2));
  blend(MUSCLE * 0.9, tube(ax, y, z, [41, 72, -32], [17, 34, -26], 2, 1.6));
  blend(MUSCLE * 0.9, tube(ax, y, z, [22, 72, -30], [12, 34, -25], 2, 1.6));
  // air: nasal cavity, maxillary, frontal and sphenoid sinus, mouth, throat
  const cavity = Math.max(tube(ax, y, z, [7, 88, -54], [7, 30, -50], 8, 10), 1.2 - ax);
  const conchae = 3 * Math.sin(0.55 * z) + 2.5 * noise(x, y, z);
  blend(MUCOSA, cavity);
  blend(0.02, Math.max(cavity + 1.5, conchae - 0.5));
  const maxillary = ellipsoid(ax - 27, y - 58, z + 60, 11, 13, 13);
  blend(0.03, maxillary);
  const frontal = Math.max(ellipsoid(ax - 10, y - 84, z + 8, 10, 5, 11), skin + 6);
  blend(0.03, frontal);
  const sphenoid = ellipsoid(ax - 7, y - 26, z + 38, 7, 10, 8);
  blend(0.04, sphenoid);
  const throat = tube(x, y, z, [0, 22, -58], [0, 4, -150], 5.5, 7);
  blend(0.02, throat, 1.5);
  // clivus and skull base: marrow in front of the pons
  const clivus = tube(x, y, z, [0, 10, -34], [0, -6, -60], 6, 4.5);
  blend(MARROW + 0.25, clivus, 2);
  const tongue = ellipsoid(x, y - 42, z + 88, 22, 27, 16);
  blend(MUSCLE + 0.12 + 0.08 * noise(x, y, z), tongue, 2);
  const palate = Math.max(Math.abs(z + 68 + 0.002 * (y - 45) ** 2) - 2, ax - 22, Math.abs(y - 52) - 24);
  blend(BONE + 0.1, palate, 1.5);
  const teeth = Math.max(Math.abs(Math.hypot(ax / 0.85, y - 52) - 27) - 4, Math.abs(z + 80) - 8, 46 - y);
  blend(BONE, teeth, 1.5);
  const mandible = tube(ax, y, z, [42, 14, -64], [12, 74, -104], 5, 6);
  blend(BONE, mandible, 1.2);
  blend(MARROW + 0.1, mandible + 2.8, 1.5);
  // ears' bones: dark, with air cells
  const mastoid = ellipsoid(ax - 54, y + 22, z + 42, 13, 15, 14);
  blend(0.12 + 0.12 * Math.max(0, noise(x, y, z)), mastoid, 3);
  return value;
}

/**
 * Renders the synthetic head: 40 slices of 192 × 192 in about three seconds. Deterministic by seed.
 * Edges are drawn over a voxel's width, so voxels hold partial volumes.
 *
 * @returns a volume in the layout of an acquired sagittal series; white matter is about 1000, values are at least 0
 */
export function renderPhantom(options: PhantomOptions): Volume {
  const slices = options.slices ?? 160;
  const rows = options.rows ?? 192;
  const columns = options.columns ?? 192;
  const spacing = options.spacing ?? [1.1, 1.3, 1.3];
  const noise = options.noise ?? 0.02;
  const anatomy = createAnatomy(options.seed);
  const edge = Math.cbrt(spacing[0] * spacing[1] * spacing[2]) * 1.1;
  const random = createRandom(options.seed, 'phantom noise');
  const data = new Float32Array(slices * rows * columns);
  // the brain's middle lies above the middle of the field of view: the neck is in it
  const centre = [0, -2, -26] as const;
  let at = 0;
  for (let slice = 0; slice < slices; slice++) {
    const x = centre[0] - (slice - (slices - 1) / 2) * spacing[0];
    for (let row = 0; row < rows; row++) {
      const z = centre[2] - (row - (rows - 1) / 2) * spacing[1];
      for (let column = 0; column < columns; column++) {
        const y = centre[1] - (column - (columns - 1) / 2) * spacing[2];
        const { brain, head } = anatomy.tissue(x, y, z, edge);
        const signal = options.brainOnly === true ? brain : head;
        let value = signal * anatomy.bias(x, y, z);
        if (options.brainOnly !== true || value > 0) {
          value = Math.hypot(value + noise * random.normal(), noise * random.normal());
        }
        data[at++] = 1000 * value;
      }
    }
  }
  // voxel order: columns (to posterior) fastest, then rows (down), then slices (to the left)
  const affine: Affine = [
    0,
    0,
    -spacing[0],
    centre[0] + ((slices - 1) / 2) * spacing[0],
    -spacing[2],
    0,
    0,
    centre[1] + ((columns - 1) / 2) * spacing[2],
    0,
    -spacing[1],
    0,
    centre[2] + ((rows - 1) / 2) * spacing[1],
  ];
  return { name: `phantom-${options.seed}`, dims: [columns, rows, slices], data, affine };
}
