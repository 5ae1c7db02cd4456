/** How much the archive may hold, from whom, and for how long. */
import { z } from 'zod';
import { bytes, milliseconds, strict, text, whole } from './values.js';

/** Free space of the archive's disk below which senders are turned away: new ones first, then each object. */
export const disk = strict({
  low: bytes.prefault('2GiB'),
  critical: bytes.prefault('1GiB'),
})
  .refine(({ low, critical }) => low >= critical, {
    error: 'at least as many bytes as disk.critical',
    path: ['low'],
  })
  .prefault({});

/** What is removed although nobody asked for it: only series of which nothing is owed any more. Default: nothing. */
export const retention = strict({
  age: milliseconds.optional(),
  space: bytes.optional(),
  free: bytes.optional(),
  remember: milliseconds.prefault('365d'),
  interval: milliseconds.prefault('1m'),
}).prefault({});

/** The most that is kept of one source, by its AE title; `*` stands for each one that is not named. */
export const quotas = z
  .array(
    strict({
      source: text('an AE title, or "*" for each source that is not named'),
      instances: whole(1, 1_000_000_000, 'instances').optional(),
      bytes: bytes.optional(),
    }).refine((quota) => quota.instances !== undefined || quota.bytes !== undefined, {
      error: 'instances, bytes, or both',
    }),
    { error: 'a list of { source, instances, bytes }' },
  )
  .prefault([]);
