/** A coded value: PS3.16 annex D (DCM) unless another system is named. */
export interface CodedValue {
  code: string;
  meaning: string;
  system?: string;
}

const dcm = (code: string, meaning: string): CodedValue => ({ code, meaning });
const own = (code: string, meaning: string): CodedValue => ({ code, meaning, system: '99MCNET' });

/** PS3.16 CID 400. */
export const EVENT_ID = {
  applicationActivity: dcm('110100', 'Application Activity'),
  beginTransferring: dcm('110102', 'Begin Transferring DICOM Instances'),
  instancesAccessed: dcm('110103', 'DICOM Instances Accessed'),
  instancesTransferred: dcm('110104', 'DICOM Instances Transferred'),
  studyDeleted: dcm('110105', 'DICOM Study Deleted'),
  query: dcm('110112', 'Query'),
  securityAlert: dcm('110113', 'Security Alert'),
  userAuthentication: dcm('110114', 'User Authentication'),
} as const;

/** PS3.16 CID 401, and of our own what technologists do with a corrected series. */
export const EVENT_TYPE = {
  start: dcm('110120', 'Application Start'),
  stop: dcm('110121', 'Application Stop'),
  login: dcm('110122', 'Login'),
  logout: dcm('110123', 'Logout'),
  nodeAuthentication: dcm('110126', 'Node Authentication'),
  softwareConfiguration: dcm('110131', 'Software Configuration'),
  restrictedFunction: dcm('110132', 'Use of Restricted Function'),
  accept: own('accept', 'Corrected series accepted'),
  reject: own('reject', 'Corrected series rejected'),
  retry: own('retry', 'Correction or delivery tried again'),
  rate: own('rate', 'Original and corrected series rated in a reader study'),
} as const;

/** PS3.16 CID 402. */
export const ROLE = {
  application: dcm('110150', 'Application'),
  destination: dcm('110152', 'Destination Role ID'),
  source: dcm('110153', 'Source Role ID'),
} as const;

/** PS3.16 CID 404, and RFC 3881 5.5.4. */
export const OBJECT_ID_TYPE = {
  patient: { code: '2', meaning: 'Patient Number', system: 'RFC-3881' },
  uri: { code: '12', meaning: 'URI', system: 'RFC-3881' },
  study: dcm('110180', 'Study Instance UID'),
  sopClass: dcm('110181', 'SOP Class UID'),
} as const;
