// A conversation in Node: answers stream as they come, Ctrl-C cancels an answer.
//
//     npm install && node chat.mjs model.gguf                  # reads messages from standard input, one per line
//     node chat.mjs model.gguf "What is a finch?"              # one answer
//
// The library has to be found: LD_LIBRARY_PATH, or SISKIN_LIBRARY=/path/to/libsiskin.so.1.
// SISKIN_TOKENS=24 in the environment: answers greedily, at most 24 tokens, and prints their ids (for tests).
import readline from 'node:readline';
import { Model } from './siskin.mjs';

const [path, prompt] = process.argv.slice(2);
if (!path) {
  console.error('usage: node chat.mjs MODEL [PROMPT]');
  process.exit(2);
}
const limit = process.env.SISKIN_TOKENS;
const options = limit ? { temperature: 0, limit_tokens: 1, max_tokens: Number(limit) } : {};
const session = Model.open(path).session();
const messages = [{ role: 'system', content: 'You are a helpful assistant.' }];
let job = null;
process.on('SIGINT', () => (job ? job.cancel() : process.exit(130)));

for await (const line of prompt ? [prompt] : readline.createInterface({ input: process.stdin })) {
  messages.push({ role: 'user', content: line });
  const tokens = [];
  let answer = '';
  job = session.job(messages, options);
  for await (const event of job) {
    if (event.token !== undefined) tokens.push(event.token);
    if (event.text !== undefined) {
      answer += event.text;
      process.stdout.write(event.text);
    }
  }
  job.close();
  job = null;
  messages.push({ role: 'assistant', content: answer });
  console.log(limit ? `\ntokens: ${tokens.join(',')}` : '');
}
