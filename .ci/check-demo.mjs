// The demo's JSON line must hold what the README promises, and the network must have improved the slices.
import { text } from 'node:stream/consumers';

const demo = JSON.parse(await text(process.stdin));
console.log(demo);
const problems = [];
for (const key of ['slices', 'ssimBefore', 'ssimAfter', 'turnaroundMs']) {
  if (!Number.isFinite(demo[key])) problems.push(`${key} is ${demo[key]}`);
}
for (const key of ['p50', 'p95', 'p99']) {
  if (!Number.isFinite(demo.sliceLatencyMs?.[key])) problems.push(`sliceLatencyMs.${key} is missing`);
}
if (typeof demo.engine !== 'string') problems.push('engine is missing');
if (!(demo.ssimAfter > demo.ssimBefore)) problems.push('the correction did not raise the SSIM');
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
