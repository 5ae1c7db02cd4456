/** Functional groups of Enhanced MR and Legacy Converted Enhanced MR: PS3.3 C.7.6.16. */
import type { DataSet } from './data-set.js';
import { type Derivation, derivationMacro, sequence, sourceImages } from './derivation.js';
import { tagOf } from './dictionary.js';
import { DicomError } from './error.js';
import { derivedType } from './image-type.js';
import { itemsOf } from './values.js';
import { itemToOutgoing, type OutgoingElement } from './writer.js';

const SHARED = tagOf('SharedFunctionalGroupsSequence');
const PER_FRAME = tagOf('PerFrameFunctionalGroupsSequence');
const FRAME_TYPE_MACRO = tagOf('MRImageFrameTypeSequence');
const FRAME_TYPE = tagOf('FrameType');
const DERIVATION_IMAGE = tagOf('DerivationImageSequence');

/**
 * Shared and per-frame functional groups of the derived object: every group of the source, Frame Type made DERIVED,
 * and the Derivation Image macro (C.7.6.16.2.6) of each frame pointing at the same frame of the source.
 * @throws DicomError malformed when the number of per-frame items is not the number of frames
 */
export function derivedFunctionalGroups(
  dataSet: DataSet,
  source: { sopClassUid: string; sopInstanceUid: string },
  frameCount: number,
  signed: boolean,
  d: Derivation,
): OutgoingElement[] {
  const perFrame = itemsOf(dataSet, PER_FRAME);
  if (perFrame.length !== frameCount) {
    throw new DicomError(
      'malformed',
      `${perFrame.length} items of per-frame functional groups for ${frameCount} frames`,
    );
  }
  const shared = itemsOf(dataSet, SHARED).map((item) => withDerivedFrameType(itemToOutgoing(item, signed)));
  // A macro may stand in the shared or in the per-frame groups, not in both: an earlier shared derivation moves.
  const earlierShared = shared.flatMap((item) => macro(item, DERIVATION_IMAGE));
  const applied = derivationMacro({ ...d, unchanged: [] });
  const notApplied = derivationMacro({ ...d, unchanged: [0] });
  const unchanged = new Set(d.unchanged);
  const frames = perFrame.map((item, i) => {
    const groups = withDerivedFrameType(itemToOutgoing(item, signed));
    const earlier = macro(groups, DERIVATION_IMAGE);
    const own = [...(unchanged.has(i) ? notApplied : applied), sourceImages(source, i + 1)].sort(
      (a, b) => a.tag - b.tag,
    );
    return [
      ...groups.filter(({ tag }) => tag !== DERIVATION_IMAGE),
      sequence('DerivationImageSequence', [...earlierShared, ...earlier, own]),
    ].sort((a, b) => a.tag - b.tag);
  });
  return [
    sequence(
      'SharedFunctionalGroupsSequence',
      shared.map((item) => item.filter(({ tag }) => tag !== DERIVATION_IMAGE)),
    ),
    sequence('PerFrameFunctionalGroupsSequence', frames),
  ];
}

function macro(groups: OutgoingElement[], tag: number): OutgoingElement[][] {
  return groups.find((element) => element.tag === tag)?.items ?? [];
}

function withDerivedFrameType(groups: OutgoingElement[]): OutgoingElement[] {
  return groups.map((group) =>
    group.tag !== FRAME_TYPE_MACRO || group.items === undefined
      ? group
      : {
          ...group,
          items: group.items.map((item) =>
            item.map((element) =>
              element.tag === FRAME_TYPE
                ? { ...element, vr: 'CS', bytes: derivedType(element.bytes) }
                : element,
            ),
          ),
        },
  );
}
