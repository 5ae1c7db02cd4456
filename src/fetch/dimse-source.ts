/** A source that is asked by C-FIND and sends by C-MOVE, or by C-GET where it offers that (PS3.4 annex C). */
import { type DataSet, dictionaryVr, strings, tagOf, US_OR_SS } from '../dicom/index.js';
import { type DimseTarget, echo, find, get, move, type StorageProviderOptions } from '../dimse/index.js';
import type { Match, Source } from './source.js';

export interface DimseSourceOptions {
  name: string;
  /** Read anew each time, since its certificates may have been renewed. */
  target(): DimseTarget;
  parallel: number;
  /**
   * `move`: it sends on an association of its own, to the node that it knows by this AE title.
   * `get`: it sends on ours, and `onStore` takes the objects.
   */
  retrieve: { move: string } | { get: StorageProviderOptions['onStore'] };
}

function matchOf(dataSet: DataSet): Match {
  return { values: (keyword) => strings(dataSet, keyword) };
}

export function dimseSource({ name, target, parallel, retrieve }: DimseSourceOptions): Source {
  return {
    name,
    parallel,
    async find(level, keys, signal) {
      const asked = [...keys].map(([keyword, value]) => {
        const tag = tagOf(keyword);
        const vr = dictionaryVr(tag);
        return { tag, vr: vr === US_OR_SS ? 'US' : vr, value };
      });
      return (await find(target(), level, asked, signal === undefined ? {} : { signal })).map(matchOf);
    },
    async retrieve(series, signal) {
      if ('move' in retrieve) await move(target(), retrieve.move, series, { signal });
      else await get(target(), series, { onStore: retrieve.get }, { signal });
    },
    async echo() {
      const start = performance.now();
      const asked = target();
      await echo(asked);
      const { calledAeTitle, host, port, tls } = asked;
      const secure = tls === undefined ? '' : ' over TLS';
      return `${calledAeTitle} at ${host}:${port} answered C-ECHO${secure} in ${Math.round(performance.now() - start)} ms`;
    },
  };
}
