/** Who we are in association negotiation (PS3.7 D.3.3.2). */

/** A UUID-derived UID (PS3.5 annex B.2), fixed for this implementation. */
export const IMPLEMENTATION_CLASS_UID = '2.25.226498132871904566821436085710318352971';
export const IMPLEMENTATION_VERSION_NAME = 'MCNET_1';
