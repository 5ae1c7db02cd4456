/** What may be corrected, by the header alone: magnitude images of MR, monochrome, not derived, one slice an image. */

import type { DataSet } from './data-set.js';
import { CODING_SCHEME, EQUIPMENT_MODEL_NAME, PROCESSING_EQUIPMENT } from './derivation.js';
import { DicomError } from './error.js';
import { pixelLayout } from './pixels.js';
import { itemsOf, number, string, strings } from './values.js';

export type Correctable = { ok: true } | { ok: false; reason: string };

/** Storage SOP classes whose images may be corrected. PS3.4 B.5 */
export const correctableSopClasses: Readonly<Record<string, string>> = {
  '1.2.840.10008.5.1.4.1.1.4': 'MR Image Storage',
  '1.2.840.10008.5.1.4.1.1.4.1': 'Enhanced MR Image Storage',
  '1.2.840.10008.5.1.4.1.1.4.4': 'Legacy Converted Enhanced MR Image Storage',
};

const otherSopClasses: Readonly<Record<string, string>> = {
  '1.2.840.10008.5.1.4.1.1.1': 'Computed Radiography Image Storage',
  '1.2.840.10008.5.1.4.1.1.2': 'CT Image Storage',
  '1.2.840.10008.5.1.4.1.1.4.2': 'MR Spectroscopy Storage',
  '1.2.840.10008.5.1.4.1.1.4.3': 'Enhanced MR Color Image Storage',
  '1.2.840.10008.5.1.4.1.1.6.1': 'Ultrasound Image Storage',
  '1.2.840.10008.5.1.4.1.1.7': 'Secondary Capture Image Storage',
  '1.2.840.10008.5.1.4.1.1.7.1': 'Multi-frame Single Bit Secondary Capture Image Storage',
  '1.2.840.10008.5.1.4.1.1.7.2': 'Multi-frame Grayscale Byte Secondary Capture Image Storage',
  '1.2.840.10008.5.1.4.1.1.7.3': 'Multi-frame Grayscale Word Secondary Capture Image Storage',
  '1.2.840.10008.5.1.4.1.1.7.4': 'Multi-frame True Color Secondary Capture Image Storage',
  '1.2.840.10008.5.1.4.1.1.11.1': 'Grayscale Softcopy Presentation State Storage',
  '1.2.840.10008.5.1.4.1.1.66': 'Raw Data Storage',
  '1.2.840.10008.5.1.4.1.1.66.4': 'Segmentation Storage',
  '1.2.840.10008.5.1.4.1.1.88.11': 'Basic Text SR Storage',
  '1.2.840.10008.5.1.4.1.1.88.22': 'Enhanced SR Storage',
  '1.2.840.10008.5.1.4.1.1.88.33': 'Comprehensive SR Storage',
  '1.2.840.10008.5.1.4.1.1.88.59': 'Key Object Selection Document Storage',
  '1.2.840.10008.5.1.4.1.1.104.1': 'Encapsulated PDF Storage',
  '1.2.840.10008.5.1.4.1.1.128': 'Positron Emission Tomography Image Storage',
};

/** Values of Image Type from the third on that name something else than a magnitude image of one slice. */
const typeReasons: readonly [RegExp, string][] = [
  [/^(LOCALIZER|SCOUT|SURVEY)$/, 'localizer'],
  [/^MOSAIC$/, 'mosaic: many slices tiled into one image'],
  [/^(P|PHASE|PHASE MAP|PHASE[ _]CONTRAST.*)$/, 'phase image'],
  [/^(R|REAL)$/, 'real part of a complex image'],
  [/^(I|IMAGINARY)$/, 'imaginary part of a complex image'],
  [/^(ADC|EADC|FA|RA|TRACE|TRACEW|TENSOR|TENSOR_B0|COLFA|EXP|EXPONENTIAL)$/, 'diffusion map'],
  [/^(T1|T2|T2_STAR|T2\*|R1|R2|R2_STAR|R2\*|T1RHO|PD|B0|B1|FIELD)([ _]MAP|MAP)$/, 'parametric map'],
  [
    /^(CBF|RCBF|RELCBF|CBV|RCBV|RELCBV|RELCCBV|MTT|RELMTT|TTP|PBP|TMAX|GBP|KTRANS|PERFUSION MAP)$/,
    'perfusion map',
  ],
  [/^(T-TEST|FMRI|ZSCORE|Z_SCORE|MOCO_TMAP|GLM)$/, 'statistical map'],
  [/^(VELOCITY|VELOCITY MAP|FLOW|PCA|SPEED)$/, 'velocity map'],
  [
    /^(MIP|MNIP|MINIP|MAXIMUM|MINIMUM|PROJECTION IMAGE|VOLUME_RENDERING|CPR|CSAPARALLEL|RADIAL|SUBTRACTION|SUB)$/,
    'reformatted or combined image',
  ],
  [/^(SCREENSAVE|SCREENSHOT|CSA REPORT|REPORT|DISPLAY)$/, 'screen capture'],
  [/^(SPECTROSCOPY|SPECTRO|CSI)$/, 'spectroscopy'],
];

const localizerName =
  /\b(locali[sz]ers?|scouts?|surveys?|smart ?brain|aa?head[ _-]?scout|plan ?scan|3[ -]?pl(?:ane)?(?:[ -]?loc)?|tri-?pilot)\b|^loc\b|\bloc$/i;

const dateOrVersion = /[_\-./]+/g;

/**
 * Decides from the header whether an image may be corrected, whatever its anatomy, which rules decide.
 * Never throws: a header that cannot be read is a reason too.
 */
export function correctable(dataSet: DataSet, sopClassUid: string): Correctable {
  try {
    const reason = reasonAgainst(dataSet, sopClassUid);
    return reason === undefined ? { ok: true } : { ok: false, reason };
  } catch (error) {
    if (error instanceof DicomError) return { ok: false, reason: error.message };
    throw error;
  }
}

function reasonAgainst(dataSet: DataSet, sopClassUid: string): string | undefined {
  if (correctableSopClasses[sopClassUid] === undefined) {
    return `no MR image: ${otherSopClasses[sopClassUid] ?? `SOP class ${sopClassUid}`}`;
  }
  if (isOwnOutput(dataSet)) return 'already corrected by this product';
  const modality = string(dataSet, 'Modality');
  if (modality !== undefined && modality !== 'MR') return `Modality is ${modality}, not MR`;
  pixelLayout(dataSet);
  return (
    imageTypeReason(strings(dataSet, 'ImageType'), 'Image Type') ??
    complexReason(string(dataSet, 'ComplexImageComponent')) ??
    framesReason(dataSet) ??
    gePrivateReason(dataSet) ??
    nameReason(dataSet) ??
    (string(dataSet, 'BurnedInAnnotation') === 'YES' ? 'annotations are burned into the pixels' : undefined)
  );
}

/** Image Type (PS3.3 C.7.6.1.1.2, C.8.3.1.1.1) or Frame Type (C.8.16.1). */
function imageTypeReason(type: readonly string[], attribute: string): string | undefined {
  const values = type.map((value) => value.toUpperCase());
  const shown = `${attribute} ${values.join('\\')}`;
  const rest = values.slice(2);
  for (const [pattern, what] of typeReasons) {
    if (rest.some((value) => pattern.test(value))) return `${what} (${shown})`;
  }
  if (values[0] === 'DERIVED') return `derived image (${shown})`;
  if (values[1] === 'SECONDARY') return `secondary image (${shown})`;
  return undefined;
}

/** PS3.3 C.8.13.3.1.1 */
function complexReason(component: string | undefined): string | undefined {
  switch (component?.toUpperCase()) {
    case 'PHASE':
      return 'phase image (Complex Image Component PHASE)';
    case 'REAL':
      return 'real part of a complex image (Complex Image Component REAL)';
    case 'IMAGINARY':
      return 'imaginary part of a complex image (Complex Image Component IMAGINARY)';
    default:
      return undefined;
  }
}

/** Every frame must be correctable, because the derived object has all frames. */
function framesReason(dataSet: DataSet): string | undefined {
  const perFrame = itemsOf(dataSet, 'PerFrameFunctionalGroupsSequence');
  const shared = itemsOf(dataSet, 'SharedFunctionalGroupsSequence')[0];
  const reasonOf = (groups: DataSet | undefined) => {
    const macro = groups === undefined ? undefined : itemsOf(groups, 'MRImageFrameTypeSequence')[0];
    if (macro === undefined) return undefined;
    return (
      imageTypeReason(strings(macro, 'FrameType'), 'Frame Type') ??
      complexReason(string(macro, 'ComplexImageComponent'))
    );
  };
  const sharedReason = reasonOf(shared);
  if (sharedReason !== undefined) return sharedReason;
  let first: string | undefined;
  let against = 0;
  for (const frame of perFrame) {
    const reason = reasonOf(frame);
    if (reason === undefined) continue;
    against += 1;
    first ??= reason;
  }
  if (first === undefined) return undefined;
  return against === perFrame.length ? first : `${against} of ${perFrame.length} frames: ${first}`;
}

/** GE writes OTHER into Image Type and what the image is into (0043,xx2F): 0 magnitude, 1 phase, 2 real, 3 imaginary. */
function gePrivateReason(dataSet: DataSet): string | undefined {
  for (const tag of dataSet.elements.keys()) {
    const block = tag - 0x00430000;
    if (block < 0x10 || block > 0xff || string(dataSet, tag) !== 'GEMS_PARM_01') continue;
    const component = number(dataSet, (0x00430000 | (block << 8) | 0x2f) >>> 0);
    const what = component === undefined ? undefined : ['', 'PHASE', 'REAL', 'IMAGINARY'][component];
    return complexReason(what);
  }
  return undefined;
}

/** Localizers that Image Type does not declare. */
function nameReason(dataSet: DataSet): string | undefined {
  for (const keyword of ['SeriesDescription', 'ProtocolName']) {
    const name = string(dataSet, keyword);
    if (name === undefined) continue;
    if (localizerName.test(name.replace(dateOrVersion, ' '))) return `localizer by its ${keyword}`;
    return undefined;
  }
  return undefined;
}

/** Did this product make the object? Known by its Contributing Equipment item or its derivation code. */
export function isOwnOutput(dataSet: DataSet): boolean {
  const contributed = itemsOf(dataSet, 'ContributingEquipmentSequence').some(
    (item) =>
      string(item, 'ManufacturerModelName') === EQUIPMENT_MODEL_NAME &&
      itemsOf(item, 'PurposeOfReferenceCodeSequence').some(
        (purpose) => string(purpose, 'CodeValue') === PROCESSING_EQUIPMENT,
      ),
  );
  return (
    contributed ||
    itemsOf(dataSet, 'DerivationCodeSequence').some(
      (item) => string(item, 'CodingSchemeDesignator') === CODING_SCHEME,
    )
  );
}
