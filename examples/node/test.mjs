// Usage: node test.mjs SCRIPT_MODEL [REAL_MODEL]: text arrives whole, cancelling a long prefill takes no time.
import assert from 'node:assert';
import { existsSync } from 'node:fs';
import { Model } from './siskin.mjs';

const [script, real] = process.argv.slice(2);
const session = Model.open(script).session();
const pieces = [], tokens = [];
let outcome;
for await (const event of session.job([{ role: 'user', content: 'hello 🐦' }])) {
  if (event.token !== undefined) tokens.push(event.token);
  if (event.text !== undefined) pieces.push(event.text);
  if (event.reason !== undefined) outcome = event;
}
assert.equal(pieces.join(''), ' Hello 🐦,\ufffd and\ufffd bye!\ufffd');
assert(pieces.some((piece) => piece.includes('🐦')), 'the emoji comes in one piece');
assert.deepEqual([outcome.reason, outcome.generatedTokens, tokens.length], [1, 15, 15]);
assert.throws(() => Model.open('/nowhere/x.gguf'), (e) => e.result === 200 && e.message.includes('/nowhere/x.gguf'));

if (real && existsSync(real)) {
  const session = Model.open(real).session();
  const content = Array.from({ length: 7000 }, (_, i) => (i % 6 === 5 ? ' ' : String.fromCharCode(97 + (((i * i) / 7 + i) % 26)))).join('');
  const took = [];
  for (let i = 0; i < 11; i++) {
    const job = session.job([{ role: 'user', content: i + content }]);
    let cancelled, reason;
    setTimeout(() => {
      cancelled = performance.now();
      job.cancel();
    }, 60);
    for await (const event of job) reason = event.reason;
    took.push(performance.now() - cancelled);
    assert.equal(reason, 5);
    job.close();
  }
  took.sort((a, b) => a - b);
  console.log(`Node: cancel in a long prefill: median ${took[5].toFixed(1)} ms, at most ${took[10].toFixed(1)} ms of 11 (promised: 50)`);
  assert(took[5] < 250);
}
