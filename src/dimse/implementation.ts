/** Who we are in association negotiation (PS3.7 D.3.3.2): the same as in the meta headers that we write. */
export { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from '../dicom/index.js';
