import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  classify,
  conditionHolds,
  expectedCount,
  type Rule,
  type Subject,
} from '../../../src/series/index.js';

const rule = (name: string, when: Rule['when'], rest: Partial<Rule> = {}): Rule => ({
  name,
  when,
  model: 'mcnet',
  to: ['pacs'],
  ...rest,
});

function subject(values: Record<string, string>, rest: Partial<Subject> = {}): Subject {
  return {
    values: (keyword) => values[keyword]?.split('\\') ?? [],
    correctable: () => ({ ok: true }),
    own: () => undefined,
    ...rest,
  };
}

test('a condition: any of the wanted values, without case, with * and !', () => {
  const cases: [string[], string[], boolean][] = [
    [['MR'], ['MR'], true],
    [['mr'], ['MR'], true],
    [['MR'], [], false],
    [['BRAIN', 'HEAD'], ['HEAD'], true],
    [['BRAIN', 'HEAD'], ['KNEE'], false],
    [['T1*'], ['t1_mprage'], true],
    [['*MPRAGE*'], ['t1_mprage_sag'], true],
    [['a.c'], ['abc'], false],
    [['!PHASE'], ['ORIGINAL', 'PRIMARY', 'M'], true],
    [['!PHASE'], ['ORIGINAL', 'PHASE'], false],
    [['!PHASE'], [], true],
    [['ORIGINAL', '!PHASE'], ['DERIVED'], false],
    [['ORIGINAL', '!P*'], ['ORIGINAL', 'PHASE'], false],
    [['M'], ['ORIGINAL', 'PRIMARY', 'M', 'NORM'], true],
  ];
  for (const [wanted, values, expected] of cases) {
    assert.equal(conditionHolds(wanted, values), expected, `${wanted} against ${values}`);
  }
});

test('the first rule that matches decides', () => {
  const rules = [
    rule('spine', { BodyPartExamined: 'SPINE' }),
    rule('brain', { Modality: 'MR', BodyPartExamined: ['BRAIN', 'HEAD'] }),
    rule('all', {}),
  ];
  const decided = classify(rules, subject({ Modality: 'MR', BodyPartExamined: 'head' }));
  assert.equal(decided.kind, 'correct');
  assert.equal(decided.rule?.name, 'brain');
  assert.equal(classify(rules, subject({})).rule?.name, 'all');
});

test('what is left alone has a reason: own output, not correctable, rule without model, no rule', () => {
  const rules = [rule('brain', { BodyPartExamined: 'BRAIN' })];
  const brain = { BodyPartExamined: 'BRAIN' };
  const reason = (decided: ReturnType<typeof classify>) =>
    decided.kind === 'left-alone' ? decided.reason : assert.fail('corrected');
  assert.match(
    reason(classify(rules, subject(brain, { own: () => 'known UID' }))),
    /coming back \(known UID\)/,
  );
  const mosaic = { ok: false as const, reason: 'a mosaic' };
  assert.equal(reason(classify(rules, subject(brain, { correctable: () => mosaic }))), 'a mosaic');
  const { model: _, ...keeping } = rule('keep', {});
  assert.equal(reason(classify([keeping], subject({}))), 'by rule "keep"');
  assert.equal(
    reason(classify(rules, subject({ BodyPartExamined: 'KNEE' }))),
    'no rule matches (brain: BodyPartExamined is KNEE)',
  );
  assert.equal(reason(classify(rules, subject({}))), 'no rule matches (brain: BodyPartExamined is absent)');
  assert.equal(reason(classify([], subject({}))), 'no rules are configured');
});

test('a reason never shows the value of a patient attribute', () => {
  const rules = [rule('study', { PatientName: 'Doe*', StudyDescription: 'trial' })];
  const decided = classify(rules, subject({ PatientName: 'Roe^Jane', StudyDescription: 'Roe' }));
  assert.ok(decided.kind === 'left-alone' && !decided.reason.includes('Roe'));
});

test('the expected count is a hint that is taken only where it can mean instances', () => {
  const of = (values: Record<string, string>) => expectedCount(subject(values).values);
  assert.deepEqual(of({ ImagesInAcquisition: '170', AcquisitionNumber: '1' }), {
    count: 170,
    by: 'acquisition 1',
  });
  assert.equal(of({ ImagesInAcquisition: '1' }), undefined);
  assert.equal(of({ ImagesInAcquisition: '40', NumberOfFrames: '40' }), undefined);
  assert.equal(of({ ImagesInAcquisition: 'x' }), undefined);
  assert.deepEqual(of({ InConcatenationTotalNumber: '3', ConcatenationUID: '1.2' }), {
    count: 3,
    by: 'concatenation 1.2',
  });
});
