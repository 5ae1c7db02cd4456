/** A trial that ends as its model path says. */
const how = process.argv[2] ?? '';
if (how.endsWith('abort')) process.abort();
if (how.endsWith('hang')) setInterval(() => {}, 1000);
if (how.endsWith('wrong')) console.log(JSON.stringify({ ok: true, difference: 0.4 }));
if (how.endsWith('nan')) console.log(JSON.stringify({ ok: true, difference: Number.POSITIVE_INFINITY }));
if (how.endsWith('right'))
  console.log(`a driver's chatter\n${JSON.stringify({ ok: true, difference: 1e-4 })}`);
