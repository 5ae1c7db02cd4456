/** C-FIND, C-MOVE and C-GET over the archive, for sites that pull (PS3.4 annex C). */
export { type RetrieveOptions, retrieveServices, type Transfer } from './provider.js';
