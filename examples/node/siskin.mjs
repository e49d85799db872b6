// The C library from Node through koffi: no build step. What chat.mjs needs of siskin.h, as promises and an async iterator.
import koffi from 'koffi';

const lib = koffi.load(process.env.SISKIN_LIBRARY ?? 'libsiskin.so.1');
for (const name of ['model', 'session', 'job', 'error', 'text']) koffi.opaque(`siskin_${name}`);
const Outcome = koffi.struct('siskin_outcome', {
  size: 'uint32_t', reason: 'uint32_t', prompt_tokens: 'uint64_t', generated_tokens: 'uint64_t', prefill_ns: 'uint64_t', decode_ns: 'uint64_t',
});
const Event = koffi.struct('siskin_event', {
  size: 'uint32_t', kind: 'uint32_t', token: 'uint32_t', logprob: 'float', text: 'const void *', text_len: 'size_t',
  done: 'uint64_t', total: 'uint64_t', outcome: 'const void *',
});
const Message = koffi.struct('siskin_message', {
  size: 'uint32_t', reserved: 'uint32_t', role: 'const char *', role_len: 'size_t', content: 'const char *', content_len: 'size_t',
  fields_json: 'const char *', fields_json_len: 'size_t',
});
const Chat = koffi.struct('siskin_chat', {
  size: 'uint32_t', add_generation_prompt: 'uint32_t', messages: 'siskin_message *', message_count: 'size_t',
  tools_json: 'const char *', tools_json_len: 'size_t', variables_json: 'const char *', variables_json_len: 'size_t', now: 'int64_t',
});
const Prompt = koffi.struct('siskin_prompt', {
  size: 'uint32_t', parse_special: 'uint32_t', text: 'const char *', text_len: 'size_t', tokens: 'const uint32_t *', token_count: 'size_t',
  chat: 'siskin_chat *',
});
const Options = koffi.struct('siskin_generate_options', {
  size: 'uint32_t', limit_tokens: 'uint32_t', max_tokens: 'uint64_t', temperature: 'float', top_k: 'uint32_t', top_p: 'float', min_p: 'float',
  typical_p: 'float', repeat_penalty: 'float', frequency_penalty: 'float', presence_penalty: 'float', penalty_last_n: 'uint32_t',
  stop_at_end_of_turn: 'uint32_t', seed: 'uint64_t', logprobs: 'uint32_t', show_special: 'uint32_t', stop: 'const void *', stop_lens: 'const void *',
  stop_count: 'size_t', bias_tokens: 'const void *', bias_values: 'const void *', bias_count: 'size_t',
});
const open = lib.func('uint32_t siskin_model_open_path(const char *path, size_t len, const void *options, _Out_ siskin_model **out, _Out_ siskin_error **error)');
const newSession = lib.func('uint32_t siskin_session_new(siskin_model *model, const void *options, _Out_ siskin_session **out, _Out_ siskin_error **error)');
const initOptions = lib.func('uint32_t siskin_generate_options_init(_Inout_ siskin_generate_options *options)');
const newJob = lib.func('uint32_t siskin_job_new(siskin_session *session, siskin_prompt *prompt, siskin_generate_options *options, _Out_ siskin_job **out, _Out_ siskin_error **error)');
const next = lib.func('uint32_t siskin_job_next(siskin_job *job, int64_t timeout_ms, _Out_ void **events, _Out_ size_t *count, _Out_ siskin_error **error)');
const cancel = lib.func('uint32_t siskin_job_cancel(siskin_job *job)');
const describe = lib.func('uint32_t siskin_error_describe(siskin_error *error, _Out_ siskin_text **out)');
const textData = lib.func('uint32_t siskin_text_data(siskin_text *text, _Out_ void **data, _Out_ size_t *len)');
const free = Object.fromEntries(['model', 'session', 'job', 'error', 'text'].map((n) => [n, lib.func(`uint32_t siskin_${n}_free(siskin_${n} *handle)`)]));
const registry = new FinalizationRegistry(({ kind, handle }) => free[kind](handle));

function check(result, error) {
  if (result === 0) return;
  const text = [null], data = [null], len = [0];
  let message = `result ${result}`;
  if (error[0] && describe(error[0], text) === 0 && textData(text[0], data, len) === 0) message = utf8(data[0], len[0]);
  free.text(text[0]);
  free.error(error[0]);
  throw Object.assign(new Error(message), { result });
}

const utf8 = (pointer, len) => Buffer.from(koffi.decode(pointer, koffi.array('uint8_t', Number(len), 'Typed'))).toString('utf8');
const bytes = Buffer.byteLength;
// A handle of `kind`, freed with its object or by close().
class Owned {
  constructor(kind, handle) {
    Object.assign(this, { kind, handle });
    registry.register(this, { kind, handle }, this);
  }
  close() {
    registry.unregister(this);
    free[this.kind](this.handle);
    this.handle = null;
  }
}

export class Model extends Owned {
  static open(path) {
    const out = [null], error = [null];
    check(open(path, bytes(path), null, out, error), error);
    return new Model('model', out[0]);
  }
  session() {
    const out = [null], error = [null];
    check(newSession(this.handle, null, out, error), error);
    return new Session('session', out[0]);
  }
}

export class Session extends Owned {
  // Prepares an answer to `messages`, [{ role, content }]; options are fields of siskin_generate_options.
  job(messages, options = {}) {
    const all = { size: koffi.sizeof(Options) };
    initOptions(all);
    const list = messages.map(({ role, content }) => ({ size: koffi.sizeof(Message), role, role_len: bytes(role), content, content_len: bytes(content) }));
    const chat = { size: koffi.sizeof(Chat), add_generation_prompt: 1, messages: list, message_count: list.length };
    const out = [null], error = [null];
    check(newJob(this.handle, { size: koffi.sizeof(Prompt), chat }, { ...all, ...options }, out, error), error);
    return new Job('job', out[0]);
  }
}

export class Job extends Owned {
  cancel() {
    cancel(this.handle);
  }
  // { token }, { text } and at last { reason, promptTokens, generatedTokens }. Leaving the loop early cancels the job.
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const events = [null], count = [0], error = [null];
        const result = await new Promise((resolve, reject) =>
          next.async(this.handle, -1, events, count, error, (failure, value) => (failure ? reject(failure) : resolve(value))));
        check(result, error);
        for (const pointer of koffi.decode(events[0], koffi.array('void *', Number(count[0])))) {
          const event = koffi.decode(pointer, Event);
          if (event.kind === 2) yield { token: event.token };
          if (event.kind === 3) yield { text: utf8(event.text, event.text_len) };
          if (event.kind === 4) {
            const { reason, prompt_tokens, generated_tokens } = koffi.decode(event.outcome, Outcome);
            return void (yield { reason, promptTokens: Number(prompt_tokens), generatedTokens: Number(generated_tokens) });
          }
        }
      }
    } finally {
      this.cancel();
    }
  }
}
