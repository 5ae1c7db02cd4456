import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aboutSeries } from '../../../src/web/index.js';

const STUDY = {
  PatientName: ['Müller^Anna Maria^^Dr.=x'],
  PatientID: ['4711'],
  PatientBirthDate: ['19701231'],
  PatientSex: ['F'],
  StudyDate: ['20240229'],
  StudyDescription: ['Head of Anna'],
  AccessionNumber: ['A1'],
};
const SERIES = { SeriesNumber: ['3'], SeriesDescription: ['T1 sag'], Modality: ['MR'] };

test('the patient is shown as the site wants', () => {
  const full = aboutSeries(STUDY, SERIES, 'full', 'C0FFEE');
  assert.deepEqual(
    [full.patient, full.patientId, full.birth, full.sex, full.studyDate, full.accession],
    ['Müller, Dr. Anna Maria', '4711', '1970-12-31', 'F', '2024-02-29', 'A1'],
  );
  const initials = aboutSeries(STUDY, SERIES, 'initials', 'C0FFEE');
  assert.deepEqual(
    [initials.patient, initials.patientId, initials.birth, initials.accession],
    ['M. A.', undefined, '1970', undefined],
  );
  const masked = aboutSeries(STUDY, SERIES, 'masked', 'C0FFEE');
  assert.deepEqual(masked, {
    patient: 'Patient C0FFEE',
    seriesNumber: 3,
    seriesDescription: 'T1 sag',
    modality: 'MR',
  });
  assert.equal(aboutSeries({}, {}, 'full', 'C0FFEE').patient, 'Patient C0FFEE');
  const ideographic = { PatientName: ['=山田^太郎=やまだ^たろう'] };
  assert.equal(aboutSeries(ideographic, {}, 'full', 'C0FFEE').patient, '山田, 太郎');
  assert.equal(aboutSeries(ideographic, {}, 'initials', 'C0FFEE').patient, '山. 太.');
});
