/*
 * Siskin: answers from a model file, on this device. Version 0.1.0, interface 1.
 *
 * Made by cbindgen from ffi/src; `cargo xtask header` makes it anew. Do not edit.
 *
 *     siskin_model *model = NULL;
 *     siskin_error *error = NULL;
 *     if (siskin_model_open_path(path, strlen(path), NULL, &model, &error)) return fail(error);
 *
 *     siskin_session *session = NULL;
 *     if (siskin_session_new(model, NULL, &session, &error)) return fail(error);
 *
 *     siskin_message message = {0};
 *     message.size = sizeof message;
 *     message.role = "user";                  message.role_len = 4;
 *     message.content = "What is a finch?";   message.content_len = 16;
 *     siskin_chat chat = {0};
 *     chat.size = sizeof chat;
 *     chat.add_generation_prompt = 1;
 *     chat.messages = &message;               chat.message_count = 1;
 *     siskin_prompt prompt = {0};
 *     prompt.size = sizeof prompt;
 *     prompt.chat = &chat;
 *
 *     siskin_job *job = NULL;
 *     if (siskin_job_new(session, &prompt, NULL, &job, &error)) return fail(error);
 *     if (siskin_job_run(job, on_event, NULL, NULL, &error)) return fail(error);  // on_event prints SISKIN_EVENT_TEXT
 *
 *     siskin_job_free(job);  siskin_session_free(session);  siskin_model_free(model);
 *
 * Rules that hold everywhere:
 * - A call that can fail returns a siskin_result, 0 if it worked. Outputs come last and are written only on success. If
 *   `out_error` is not NULL, a failure writes an error there, which the caller frees (NULL if there are too many handles);
 *   nothing is kept per thread.
 * - Objects are handles. A handle that was freed, is of another kind or never was one gives SISKIN_RESULT_INVALID_HANDLE.
 *   Freeing takes NULL, and never waits for a computation.
 * - A `const` first argument may be used from several threads at once; otherwise one thread at a time.
 * - Strings are UTF-8 with a length, not terminated by NUL, and are read during the call only.
 * - Your functions that the library calls must return: no exception and no longjmp may leave them.
 * - Structs begin with their size: set it, or start from `= {0}` and the _init function. Flags in structs are 0 or 1.
 */


#ifndef SISKIN_H
#define SISKIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of the library that this header belongs to. */
#define SISKIN_VERSION_MAJOR 0
#define SISKIN_VERSION_MINOR 1
#define SISKIN_VERSION_PATCH 0
#define SISKIN_VERSION "0.1.0"
/** The version of the interface: compare it with siskin_abi_version(). */
#define SISKIN_ABI_VERSION 1

/**
 * How a call ended. Numbers are grouped by hundreds, never change and are never used again.
 */
enum siskin_result
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It worked.
   */
  SISKIN_RESULT_OK = 0,
  /**
   * A pointer that must not be NULL is.
   */
  SISKIN_RESULT_NULL_POINTER = 100,
  /**
   * A handle that was freed, is of another kind, or never was one.
   */
  SISKIN_RESULT_INVALID_HANDLE = 101,
  /**
   * A value that makes no sense.
   */
  SISKIN_RESULT_INVALID_ARGUMENT = 102,
  /**
   * Text that is not UTF-8.
   */
  SISKIN_RESULT_INVALID_UTF8 = 103,
  /**
   * A struct whose `size` is too small, or one of a newer version that asks for what this version does not know.
   */
  SISKIN_RESULT_STRUCT_SIZE = 104,
  /**
   * The session is in use by a job.
   */
  SISKIN_RESULT_BUSY = 105,
  /**
   * There are as many handles as there can be.
   */
  SISKIN_RESULT_TOO_MANY_HANDLES = 106,
  /**
   * The operating system refused.
   */
  SISKIN_RESULT_IO = 200,
  /**
   * The file is not a well-formed model file.
   */
  SISKIN_RESULT_FORMAT = 201,
  /**
   * Something is larger than this library accepts.
   */
  SISKIN_RESULT_LIMIT = 202,
  /**
   * A valid file of a kind that this version does not run.
   */
  SISKIN_RESULT_UNSUPPORTED = 203,
  /**
   * A key, tensor or template is absent.
   */
  SISKIN_RESULT_MISSING = 204,
  /**
   * A tensor or value does not fit the model.
   */
  SISKIN_RESULT_SHAPE = 205,
  /**
   * The model file changed while it was in use.
   */
  SISKIN_RESULT_FILE_CHANGED = 206,
  /**
   * Text or tokens that the tokenizer cannot handle.
   */
  SISKIN_RESULT_TOKENIZER = 300,
  /**
   * The chat template cannot be parsed or rendered.
   */
  SISKIN_RESULT_TEMPLATE = 301,
  /**
   * The context has no room for what was asked.
   */
  SISKIN_RESULT_CONTEXT_FULL = 400,
  /**
   * Cancelled. A cancelled job is no failure: it ends with SISKIN_STOP_CANCELLED.
   */
  SISKIN_RESULT_CANCELLED = 401,
  /**
   * The model gave something that is not a number.
   */
  SISKIN_RESULT_NUMERIC = 402,
  /**
   * An earlier failure left this object unusable; free it.
   */
  SISKIN_RESULT_POISONED = 403,
  /**
   * A mistake in the library itself. The object may be unusable, the process is fine. Please report it.
   */
  SISKIN_RESULT_PANIC = 900,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_result siskin_result;
#else
typedef uint32_t siskin_result;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What an event tells.
 */
enum siskin_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * `done` of `total` prompt tokens are read.
   */
  SISKIN_EVENT_PREFILL = 1,
  /**
   * `token` was chosen, with `logprob` if that was asked for.
   */
  SISKIN_EVENT_TOKEN = 2,
  /**
   * `text` is certain: `text_len` bytes of whole characters.
   */
  SISKIN_EVENT_TEXT = 3,
  /**
   * The end: `outcome` says why, with counts and times. Always the last event.
   */
  SISKIN_EVENT_DONE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_event_kind siskin_event_kind;
#else
typedef uint32_t siskin_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How the experts of a model come into memory.
 */
enum siskin_experts
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * SISKIN_EXPERTS_STREAM if the file is larger than the memory that is left, else SISKIN_EXPERTS_MAP.
   */
  SISKIN_EXPERTS_AUTO = 0,
  /**
   * Like everything else: the system reads around what is touched.
   */
  SISKIN_EXPERTS_MAP = 1,
  /**
   * One by one: the system is told which come next, and reads nothing else of them.
   */
  SISKIN_EXPERTS_STREAM = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_experts siskin_experts;
#else
typedef uint32_t siskin_experts;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How keys and values are stored.
 */
enum siskin_kv_type
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Two bytes each.
   */
  SISKIN_KV_F16 = 1,
  /**
   * Four bytes each.
   */
  SISKIN_KV_F32 = 2,
  /**
   * A little more than one byte each: faster behind long texts. Answers differ a little from those with floats.
   */
  SISKIN_KV_Q8 = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_kv_type siskin_kv_type;
#else
typedef uint32_t siskin_kv_type;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How important a message is.
 */
enum siskin_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Something failed that no result tells of.
   */
  SISKIN_LOG_ERROR = 1,
  /**
   * It works, but not as one would want.
   */
  SISKIN_LOG_WARN = 2,
  /**
   * What was opened, how a job ended.
   */
  SISKIN_LOG_INFO = 3,
  /**
   * What helps when looking for a mistake.
   */
  SISKIN_LOG_DEBUG = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_log_level siskin_log_level;
#else
typedef uint32_t siskin_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How the states of a text's tokens become one.
 */
enum siskin_pooling
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * As the file says.
   */
  SISKIN_POOLING_MODEL = 0,
  /**
   * Their mean.
   */
  SISKIN_POOLING_MEAN = 1,
  /**
   * The first token's.
   */
  SISKIN_POOLING_CLS = 2,
  /**
   * The last token's.
   */
  SISKIN_POOLING_LAST = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_pooling siskin_pooling;
#else
typedef uint32_t siskin_pooling;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How short of memory the device is.
 */
enum siskin_pressure
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  SISKIN_PRESSURE_NONE = 0,
  SISKIN_PRESSURE_MODERATE = 1,
  SISKIN_PRESSURE_CRITICAL = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_pressure siskin_pressure;
#else
typedef uint32_t siskin_pressure;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why an answer ended.
 */
enum siskin_stop
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The model ended its turn.
   */
  SISKIN_STOP_END_OF_TURN = 1,
  /**
   * A stop text appeared.
   */
  SISKIN_STOP_STRING = 2,
  /**
   * As many tokens as were asked for.
   */
  SISKIN_STOP_MAX_TOKENS = 3,
  /**
   * The context is full.
   */
  SISKIN_STOP_CONTEXT_FULL = 4,
  /**
   * Cancelled.
   */
  SISKIN_STOP_CANCELLED = 5,
  /**
   * The event function said so.
   */
  SISKIN_STOP_CALLER = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_stop siskin_stop;
#else
typedef uint32_t siskin_stop;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How hot the device is.
 */
enum siskin_thermal
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Cool: all threads work.
   */
  SISKIN_THERMAL_NOMINAL = 0,
  /**
   * Warm: all threads work.
   */
  SISKIN_THERMAL_FAIR = 1,
  /**
   * Hot: half of them.
   */
  SISKIN_THERMAL_SERIOUS = 2,
  /**
   * Too hot: one.
   */
  SISKIN_THERMAL_CRITICAL = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum siskin_thermal siskin_thermal;
#else
typedef uint32_t siskin_thermal;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Turns texts into vectors. Any thread may use it; one call at a time, another meanwhile gives SISKIN_RESULT_BUSY.
 */
typedef struct siskin_embedder siskin_embedder;

/**
 * Why a call did not work. It is the caller's to free. All its functions may be called from any thread; the texts are
 * valid until it is freed.
 */
typedef struct siskin_error siskin_error;

/**
 * One answer in the making. Make it, then either run it (siskin_job_run) or pull from it (siskin_job_next).
 */
typedef struct siskin_job siskin_job;

/**
 * An open model: immutable, so all its functions may be called from any thread at any time. Freeing the handle never
 * waits; sessions keep what they need.
 */
typedef struct siskin_model siskin_model;

/**
 * Tells how probable it is that texts violate policies, with a model that was trained for it (ShieldGemma). Any thread may
 * use it; one call at a time, another meanwhile gives SISKIN_RESULT_BUSY.
 */
typedef struct siskin_moderator siskin_moderator;

/**
 * A picture for a model to see, in any number of prompts (siskin_message, siskin_prompt). The first job that reads it turns
 * it into embeddings, which it keeps. Any thread may use it.
 */
typedef struct siskin_picture siskin_picture;

/**
 * A conversation's state. Its functions may be called from any thread; while a job runs on it they answer
 * SISKIN_RESULT_BUSY at once.
 */
typedef struct siskin_session siskin_session;

/**
 * Text that the library made. It is the caller's to free.
 */
typedef struct siskin_text siskin_text;

/**
 * Tokens that the library made. They are the caller's to free.
 */
typedef struct siskin_tokens siskin_tokens;

/**
 * A model's eyes: the vision tower and projector from a file of their own ("mmproj"). Any thread may use it.
 */
typedef struct siskin_vision siskin_vision;

/**
 * One message of a conversation. Texts are UTF-8 and are read during the call only.
 */
typedef struct siskin_message {
  /**
   * sizeof(siskin_message)
   */
  uint32_t size;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * "system", "user", "assistant", "tool", or what else the model's template knows.
   */
  const char *role;
  size_t role_len;
  /**
   * What is said.
   */
  const char *content;
  size_t content_len;
  /**
   * A JSON object of further fields that the template reads (`tool_calls`, `name` ...); NULL for none.
   */
  const char *fields_json;
  size_t fields_json_len;
  /**
   * `picture_count` pictures that the message shows: where its content has "<start_of_image>" for each, else before it.
   * NULL for none.
   */
  const struct siskin_picture *const *pictures;
  size_t picture_count;
} siskin_message;

/**
 * A conversation and what the model's template is given besides.
 */
typedef struct siskin_chat {
  /**
   * sizeof(siskin_chat)
   */
  uint32_t size;
  /**
   * Whether the prompt is to end where the assistant's answer begins: 0 or 1.
   */
  uint32_t add_generation_prompt;
  /**
   * `message_count` messages, each of which says its size; all must have the same.
   */
  const struct siskin_message *messages;
  size_t message_count;
  /**
   * A JSON array of the tools that the model may call; NULL for none.
   */
  const char *tools_json;
  size_t tools_json_len;
  /**
   * A JSON object of further variables (such as `enable_thinking`); NULL for none.
   */
  const char *variables_json;
  size_t variables_json_len;
  /**
   * Now, in seconds since 1970 in the user's time zone, for templates that tell the date; 0 for none.
   */
  int64_t now;
} siskin_chat;

/**
 * How texts become vectors. Fill it with siskin_embed_options_init.
 */
typedef struct siskin_embed_options {
  /**
   * sizeof(siskin_embed_options)
   */
  uint32_t size;
  /**
   * A siskin_pooling. A model whose file does not say (it was not made for this) needs one that is named.
   */
  uint32_t pooling;
  /**
   * Whether vectors have length 1: 0 or 1.
   */
  uint32_t normalize;
  /**
   * Whether a text that is too long is cut instead of refused: 0 or 1.
   */
  uint32_t truncate;
  /**
   * Only the first so many numbers of each vector, for models that were trained for that; 0 for all.
   */
  uint64_t dimensions;
  /**
   * A siskin_kv_type: how keys and values are stored on the way.
   */
  uint32_t kv_type;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} siskin_embed_options;

/**
 * A file of a project that the model is to know about. Texts are UTF-8 and are read during the call only.
 */
typedef struct siskin_fim_file {
  /**
   * sizeof(siskin_fim_file)
   */
  uint32_t size;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * Its path within the project.
   */
  const char *path;
  size_t path_len;
  /**
   * What is in it.
   */
  const char *text;
  size_t text_len;
} siskin_fim_file;

/**
 * What is to be completed. Texts are UTF-8 and are read during the call only.
 */
typedef struct siskin_fim_request {
  /**
   * sizeof(siskin_fim_request)
   */
  uint32_t size;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * The text before the place.
   */
  const char *prefix;
  size_t prefix_len;
  /**
   * The text behind it.
   */
  const char *suffix;
  size_t suffix_len;
  /**
   * Where the text is from, within its project; NULL for unknown.
   */
  const char *path;
  size_t path_len;
  /**
   * Name of the project; NULL for none.
   */
  const char *repo;
  size_t repo_len;
  /**
   * `file_count` other files of the project, the most important one last; all must have the same size.
   */
  const struct siskin_fim_file *files;
  size_t file_count;
} siskin_fim_request;

/**
 * What to generate. Fill it with siskin_generate_options_init.
 */
typedef struct siskin_generate_options {
  /**
   * sizeof(siskin_generate_options)
   */
  uint32_t size;
  /**
   * Whether there is a limit of `max_tokens`: 0 or 1. Without one, as many as the context holds.
   */
  uint32_t limit_tokens;
  /**
   * Most tokens to generate, if `limit_tokens` is 1. With 0 the prompt is taken in and nothing is generated.
   */
  uint64_t max_tokens;
  /**
   * Divides the logits before the draw; 0 always takes the most probable token.
   */
  float temperature;
  /**
   * Keeps the k largest logits; 0 keeps all.
   */
  uint32_t top_k;
  /**
   * Keeps the most probable that together reach p; 1 keeps all.
   */
  float top_p;
  /**
   * Keeps those at least p times as probable as the best; 0 keeps all.
   */
  float min_p;
  /**
   * Keeps the most typical that together reach p; 1 keeps all.
   */
  float typical_p;
  /**
   * Divides positive logits of recent tokens and multiplies negative ones; 1 does nothing.
   */
  float repeat_penalty;
  /**
   * Subtracted from a recent token's logit for each time it occurred.
   */
  float frequency_penalty;
  /**
   * Subtracted once from the logit of a recent token.
   */
  float presence_penalty;
  /**
   * How many tokens count as recent.
   */
  uint32_t penalty_last_n;
  /**
   * Whether the model's end-of-turn tokens end the answer: 0 or 1.
   */
  uint32_t stop_at_end_of_turn;
  /**
   * Where the random numbers start.
   */
  uint64_t seed;
  /**
   * Whether token events carry log-probabilities: 0 or 1.
   */
  uint32_t logprobs;
  /**
   * Whether special tokens appear in the text: 0 or 1.
   */
  uint32_t show_special;
  /**
   * `stop_count` texts that end the answer, UTF-8, and their lengths.
   */
  const char *const *stop;
  const size_t *stop_lens;
  size_t stop_count;
  /**
   * `bias_count` tokens and what is added to their logits; -INFINITY bans one.
   */
  const uint32_t *bias_tokens;
  const float *bias_values;
  size_t bias_count;
} siskin_generate_options;

/**
 * What a prompt had no room for.
 */
typedef struct siskin_fim_cut {
  /**
   * sizeof(siskin_fim_cut)
   */
  uint32_t size;
  /**
   * 0
   */
  uint32_t reserved;
  /**
   * Tokens at the start of the prefix.
   */
  uint64_t prefix_tokens;
  /**
   * Tokens at the end of the suffix.
   */
  uint64_t suffix_tokens;
  /**
   * Files, the first ones.
   */
  uint64_t files;
} siskin_fim_cut;

/**
 * What a job is asked: exactly one of `text`, `tokens` and `chat` is not NULL.
 */
typedef struct siskin_prompt {
  /**
   * sizeof(siskin_prompt)
   */
  uint32_t size;
  /**
   * Whether texts of special tokens in `text` become those tokens: 0 or 1. Not for text from users.
   */
  uint32_t parse_special;
  /**
   * Text behind what the session holds.
   */
  const char *text;
  size_t text_len;
  /**
   * Tokens behind what the session holds. With a `token_count` of 0 the last answer goes on.
   */
  const uint32_t *tokens;
  size_t token_count;
  /**
   * A whole conversation. What the session holds of it already is not computed again.
   */
  const struct siskin_chat *chat;
  /**
   * `picture_count` pictures that `text` shows: where it has "<start_of_image>" for each, if `parse_special` is 1, else
   * before it. NULL for none.
   */
  const struct siskin_picture *const *pictures;
  size_t picture_count;
} siskin_prompt;

/**
 * How a job ended.
 */
typedef struct siskin_outcome {
  /**
   * sizeof(siskin_outcome)
   */
  uint32_t size;
  /**
   * A siskin_stop.
   */
  uint32_t reason;
  /**
   * Prompt tokens that were read; of a conversation, those that were new.
   */
  uint64_t prompt_tokens;
  /**
   * Tokens generated, an end-of-turn token included.
   */
  uint64_t generated_tokens;
  /**
   * Nanoseconds from the start to the first choice of a token.
   */
  uint64_t prefill_ns;
  /**
   * Nanoseconds from then to the end.
   */
  uint64_t decode_ns;
} siskin_outcome;

/**
 * Something that happened. Which fields mean something depends on `kind`.
 */
typedef struct siskin_event {
  /**
   * sizeof(siskin_event) of the library
   */
  uint32_t size;
  /**
   * A siskin_event_kind.
   */
  uint32_t kind;
  /**
   * Of a token.
   */
  uint32_t token;
  /**
   * Of a token: natural logarithm of the probability that the model gave it; NaN if it was not asked for.
   */
  float logprob;
  /**
   * Of a text: UTF-8, not terminated by NUL.
   */
  const char *text;
  size_t text_len;
  /**
   * Of a prefill: prompt tokens read, of how many.
   */
  uint64_t done;
  uint64_t total;
  /**
   * Of the end.
   */
  const struct siskin_outcome *outcome;
} siskin_event;

/**
 * Hears an event, which is valid during the call, on the thread that called siskin_job_run. `false` stops the job, and
 * what was computed stays. It may cancel or free anything; other functions answer SISKIN_RESULT_BUSY for the session that
 * the job has.
 */
typedef bool (*siskin_event_fn)(void *userdata, const struct siskin_event *event);

/**
 * Hears a message of the library: a siskin_log_level and UTF-8 of `len` bytes that is valid during the call. It holds no
 * prompt and no answer. Called on whichever thread has something to say, also on several at once; it must not call the
 * library.
 */
typedef void (*siskin_log_fn)(void *userdata, uint32_t level, const char *message, size_t len);

/**
 * Tells that what `userdata` stands for is not used any more. Called once, on any thread; it must not call the library.
 */
typedef void (*siskin_release_fn)(void *userdata);

/**
 * How to run a model. Fill it with siskin_model_options_init.
 */
typedef struct siskin_model_options {
  /**
   * sizeof(siskin_model_options)
   */
  uint32_t size;
  /**
   * Threads, the caller's included; 0 for one per fast core.
   */
  uint32_t threads;
  /**
   * Name of the kernels to use; NULL for the fastest.
   */
  const char *kernels;
  size_t kernels_len;
  /**
   * Hears messages; NULL for none. It and `log_userdata` must stay valid until `log_release` is called: the model, its
   * sessions and its jobs are freed by then and every job has ended.
   */
  siskin_log_fn log;
  void *log_userdata;
  /**
   * Called with `log_userdata` when `log` will not be called any more, also if the model cannot be opened; NULL for
   * none.
   */
  siskin_release_fn log_release;
  /**
   * The least important siskin_log_level that is told.
   */
  uint32_t log_level;
  /**
   * A siskin_experts: how experts come into memory.
   */
  uint32_t experts;
} siskin_model_options;

/**
 * What a model is and how it runs.
 */
typedef struct siskin_model_info {
  /**
   * sizeof(siskin_model_info)
   */
  uint32_t size;
  /**
   * Threads in use.
   */
  uint32_t threads;
  /**
   * Decoder layers.
   */
  uint32_t layers;
  /**
   * Width of the residual stream.
   */
  uint32_t width;
  /**
   * Tokens of the vocabulary.
   */
  uint32_t vocab;
  /**
   * Whether it has a chat template that can be used: 0 or 1.
   */
  uint32_t has_chat_template;
  /**
   * Context that it was trained for, in tokens.
   */
  uint64_t context;
  /**
   * Numbers in all tensors.
   */
  uint64_t parameters;
  /**
   * Bytes of all tensors.
   */
  uint64_t weight_bytes;
  /**
   * Name of the kernels in use. Valid for ever.
   */
  const char *kernels;
  size_t kernels_len;
  /**
   * Whether it generates text; if not, it only embeds: 0 or 1.
   */
  uint32_t generates;
  /**
   * How it was trained to embed texts: a siskin_pooling, or 0 if its file does not say.
   */
  uint32_t pooling;
} siskin_model_info;

/**
 * What a session is to hold. Fill it with siskin_session_options_init.
 */
typedef struct siskin_session_options {
  /**
   * sizeof(siskin_session_options)
   */
  uint32_t size;
  /**
   * A siskin_kv_type.
   */
  uint32_t kv_type;
  /**
   * Tokens that fit; 0 for 4096, or what the model was trained for if that is less.
   */
  uint64_t context;
  /**
   * Most tokens in one pass; results do not depend on it.
   */
  uint64_t batch;
} siskin_session_options;

/**
 * Memory that a session needs, in bytes.
 */
typedef struct siskin_fit {
  /**
   * sizeof(siskin_fit)
   */
  uint32_t size;
  uint32_t threads;
  /**
   * Tokens that fit.
   */
  uint64_t context;
  /**
   * Most tokens in one pass.
   */
  uint64_t batch;
  /**
   * The model file, mapped; the system takes it back when memory is short.
   */
  uint64_t mapped;
  /**
   * Keys and values.
   */
  uint64_t kv_cache;
  /**
   * Buffers of the forward pass.
   */
  uint64_t buffers;
  /**
   * Tables of the file and the tokenizer.
   */
  uint64_t tables;
  /**
   * Memory that cannot be taken back: the last three.
   */
  uint64_t dirty;
  /**
   * Everything, with the whole file in memory.
   */
  uint64_t peak;
  /**
   * Bytes of weights that one token reads.
   */
  uint64_t bytes_per_token;
} siskin_fit;

/**
 * How to moderate. Fill it with siskin_moderate_options_init.
 */
typedef struct siskin_moderate_options {
  /**
   * sizeof(siskin_moderate_options)
   */
  uint32_t size;
  /**
   * Whether also with a model that does not say that it is a classifier of this kind: 0 or 1.
   */
  uint32_t any_model;
  /**
   * A siskin_kv_type: how keys and values are stored on the way.
   */
  uint32_t kv_type;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} siskin_moderate_options;

/**
 * A rule that a text may violate. Texts are UTF-8 and are read during the call only.
 */
typedef struct siskin_policy {
  /**
   * sizeof(siskin_policy)
   */
  uint32_t size;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * Its name. Without words of its own one that the model was trained with: "dangerous_content", "harassment",
   * "hate_speech" or "sexually_explicit".
   */
  const char *name;
  size_t name_len;
  /**
   * Its words; NULL for those that the model was trained with.
   */
  const char *guideline;
  size_t guideline_len;
} siskin_policy;

/**
 * What a vision tower is and takes.
 */
typedef struct siskin_vision_info {
  /**
   * sizeof(siskin_vision_info)
   */
  uint32_t size;
  /**
   * Side of the square that pictures are resized to, in pixels.
   */
  uint32_t image_size;
  /**
   * Positions of the context that a picture takes. A session's batch must have room for them.
   */
  uint32_t positions;
  /**
   * Layers of the tower.
   */
  uint32_t layers;
  /**
   * Bytes of memory that turning a picture into embeddings takes while it runs.
   */
  uint64_t encode_bytes;
  /**
   * Bytes of memory that the tower takes; its other weights stay in the file.
   */
  uint64_t heap_bytes;
} siskin_vision_info;

/**
 * How a picture is shown. Fill it with siskin_picture_options_init.
 */
typedef struct siskin_picture_options {
  /**
   * sizeof(siskin_picture_options)
   */
  uint32_t size;
  /**
   * Whether parts of a long picture ("crops") are shown behind the whole: 0 or 1. Each takes as many positions and as long
   * as a picture.
   */
  uint32_t pan_and_scan;
  /**
   * Shortest side of a crop, in pixels; 1 or more. A picture whose crops would be smaller gets none.
   */
  uint32_t min_crop_size;
  /**
   * Most crops; 1 to 16.
   */
  uint32_t max_crops;
  /**
   * Longer side over shorter side from which a picture gets crops; not below 0. 1 is that of a square.
   */
  double min_ratio;
} siskin_picture_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The prompt of a conversation, as the model's template writes it.
 */
siskin_result siskin_model_render(const struct siskin_model *model,
                                  const struct siskin_chat *chat,
                                  struct siskin_text **out_text,
                                  struct siskin_error **out_error);

/**
 * The tokens of a conversation's prompt, as a job with this `chat` reads them: the begin token is added unless the template
 * wrote it.
 */
siskin_result siskin_model_conversation(const struct siskin_model *model,
                                        const struct siskin_chat *chat,
                                        struct siskin_tokens **out_tokens,
                                        struct siskin_error **out_error);

/**
 * The model's chat template itself.
 */
siskin_result siskin_model_chat_template(const struct siskin_model *model,
                                         struct siskin_text **out_text,
                                         struct siskin_error **out_error);

/**
 * Fills `options`, whose `size` must be set, with the defaults.
 */
siskin_result siskin_embed_options_init(struct siskin_embed_options *options);

/**
 * Starts an embedder with these options (NULL for the defaults). It keeps what it needs of the model.
 * SISKIN_RESULT_UNSUPPORTED if neither the file nor the options say how the model embeds.
 */
siskin_result siskin_embedder_new(const struct siskin_model *model,
                                  const struct siskin_embed_options *options,
                                  struct siskin_embedder **out_embedder,
                                  struct siskin_error **out_error);

/**
 * How many numbers a vector has.
 */
siskin_result siskin_embedder_dimensions(const struct siskin_embedder *embedder, size_t *out_dimensions);

/**
 * Writes the vector of a text to `values`, which has room for `capacity` numbers: at least as many as
 * siskin_embedder_dimensions says. Computes on this thread and the model's. Words that the model expects before a text
 * are the caller's to write; what looks like a special token in it is taken literally. SISKIN_RESULT_CONTEXT_FULL for a
 * text longer than the model was trained for, unless it may be cut.
 */
siskin_result siskin_embedder_embed(struct siskin_embedder *embedder,
                                    const char *text,
                                    size_t text_len,
                                    float *values,
                                    size_t capacity,
                                    struct siskin_error **out_error);

/**
 * Cancels the call that runs, which then gives SISKIN_RESULT_CANCELLED; does nothing if none does. Any thread, any time.
 */
siskin_result siskin_embedder_cancel(const struct siskin_embedder *embedder);

/**
 * Frees an embedder. NULL is fine. A call that runs goes on.
 */
siskin_result siskin_embedder_free(struct siskin_embedder *embedder);

/**
 * The number that the call returned.
 */
siskin_result siskin_error_result(const struct siskin_error *error, uint32_t *out_result);

/**
 * What happened, without where. UTF-8, not terminated by NUL.
 */
siskin_result siskin_error_message(const struct siskin_error *error, const char **out_data, size_t *out_len);

/**
 * The file concerned; NULL and 0 if none is.
 */
siskin_result siskin_error_file(const struct siskin_error *error, const char **out_data, size_t *out_len);

/**
 * The metadata key concerned; NULL and 0 if none is.
 */
siskin_result siskin_error_key(const struct siskin_error *error, const char **out_data, size_t *out_len);

/**
 * The tensor concerned; NULL and 0 if none is.
 */
siskin_result siskin_error_tensor(const struct siskin_error *error, const char **out_data, size_t *out_len);

/**
 * The byte offset in the file; `*out_known` says whether there is one.
 */
siskin_result siskin_error_offset(const struct siskin_error *error, uint64_t *out_offset, bool *out_known);

/**
 * Everything in one line: what happened, the file, key, tensor, offset and the system's own words.
 */
siskin_result siskin_error_describe(const struct siskin_error *error, struct siskin_text **out_text);

/**
 * Frees an error. NULL is fine.
 */
siskin_result siskin_error_free(struct siskin_error *error);

/**
 * Whether the model was trained to fill in the middle.
 */
siskin_result siskin_model_fills_in(const struct siskin_model *model, bool *out_fills_in);

/**
 * Prepares what goes between the prefix and the suffix of `request`, as siskin_job_new prepares an answer. The session is
 * that text's from then on: what it holds of the prompt already is not computed again, the rest is forgotten. If there is
 * more text than room, its far ends are cut: `cut`, whose `size` must be set, says what; it may be NULL.
 * SISKIN_RESULT_UNSUPPORTED if the model was not trained for it.
 */
siskin_result siskin_job_new_fim(struct siskin_session *session,
                                 const struct siskin_fim_request *request,
                                 const struct siskin_generate_options *options,
                                 struct siskin_fim_cut *cut,
                                 struct siskin_job **out_job,
                                 struct siskin_error **out_error);

/**
 * Prepares an answer to `prompt`. `options` may be NULL. Nothing is computed yet; all that is pointed to is copied.
 */
siskin_result siskin_job_new(struct siskin_session *session,
                             const struct siskin_prompt *prompt,
                             const struct siskin_generate_options *options,
                             struct siskin_job **out_job,
                             struct siskin_error **out_error);

/**
 * Does the work on this thread and tells `on_event` everything on this thread; returns when the job has ended. For each
 * job once, unless the answer is SISKIN_RESULT_BUSY: then another job has the session, and this one can be tried again.
 * `outcome`, whose `size` must be set, may be NULL. Being cancelled is an outcome, not a failure.
 */
siskin_result siskin_job_run(struct siskin_job *job,
                             siskin_event_fn on_event,
                             void *userdata,
                             struct siskin_outcome *outcome,
                             struct siskin_error **out_error);

/**
 * Starts the work on a thread of the library's; siskin_job_next does so too.
 */
siskin_result siskin_job_start(struct siskin_job *job, struct siskin_error **out_error);

/**
 * Pulls all events that wait: `*out_events` are `*out_count` pointers to events, valid until the next call with this job or
 * until it is freed. Starts the job if nothing has. Waits for at least one event, at most `timeout_ms` milliseconds (0
 * does not wait, a negative number waits as long as it takes); then `*out_count` is 0. The last event is
 * SISKIN_EVENT_DONE, and whoever asks again gets it again. One thread at a time pulls from a job. If another thread frees
 * the job while this waits, the answer is SISKIN_RESULT_INVALID_HANDLE.
 */
siskin_result siskin_job_next(struct siskin_job *job,
                              int64_t timeout_ms,
                              const struct siskin_event *const **out_events,
                              size_t *out_count,
                              struct siskin_error **out_error);

/**
 * Fills `outcome`, whose `size` must be set, if the job has ended; `*out_ended` says whether. Does not wait. Fails as the
 * job did.
 */
siskin_result siskin_job_get_outcome(const struct siskin_job *job,
                                     struct siskin_outcome *outcome,
                                     bool *out_ended,
                                     struct siskin_error **out_error);

/**
 * Cancels a job: from any thread, at any time, any number of times, also from a signal handler. One that was not started
 * ends as cancelled when it starts. A job that is gone gives SISKIN_RESULT_INVALID_HANDLE and nothing else happens.
 */
siskin_result siskin_job_cancel(const struct siskin_job *job);

/**
 * Frees a job. NULL is fine. If it runs it is cancelled and ends by itself: this never waits. Events that it gave are gone.
 */
siskin_result siskin_job_free(struct siskin_job *job);

/**
 * Opens the model file at `path` (UTF-8), or any part of a split one. The file is mapped, not read: it must not be
 * shortened or written to while it is open. Replacing it (write elsewhere, rename over it) is fine.
 */
siskin_result siskin_model_open_path(const char *path,
                                     size_t path_len,
                                     const struct siskin_model_options *options,
                                     struct siskin_model **out_model,
                                     struct siskin_error **out_error);

/**
 * Opens `length` bytes from byte `offset` of a file descriptor: an asset of an Android package, a part of a bundle. Any
 * offset will do. The descriptor is duplicated; the caller's may be closed. (Not on Windows.)
 */
siskin_result siskin_model_open_fd(int32_t fd,
                                   uint64_t offset,
                                   uint64_t length,
                                   const struct siskin_model_options *options,
                                   struct siskin_model **out_model,
                                   struct siskin_error **out_error);

/**
 * Opens `len` bytes in memory. With a `release` function they are not copied: they must stay as they are until it is
 * called with `userdata`, when the model and all that came from it are gone, or when this call fails. With NULL they are
 * copied.
 */
siskin_result siskin_model_open_bytes(const uint8_t *data,
                                      size_t len,
                                      siskin_release_fn release,
                                      void *userdata,
                                      const struct siskin_model_options *options,
                                      struct siskin_model **out_model,
                                      struct siskin_error **out_error);

/**
 * Frees a model. NULL is fine. Sessions and jobs that use it go on.
 */
siskin_result siskin_model_free(struct siskin_model *model);

/**
 * Fills `info`, whose `size` must be set.
 */
siskin_result siskin_model_get_info(const struct siskin_model *model, struct siskin_model_info *info);

/**
 * Will it fit? Fills `fit`, whose `size` must be set, with what a session with these options (NULL for the defaults)
 * needs; nothing is allocated.
 */
siskin_result siskin_model_get_fit(const struct siskin_model *model,
                                   const struct siskin_session_options *options,
                                   struct siskin_fit *fit,
                                   struct siskin_error **out_error);

/**
 * How many keys the file's metadata has.
 */
siskin_result siskin_model_metadata_count(const struct siskin_model *model, size_t *out_count);

/**
 * Key number `index`, from 0, in the file's order.
 */
siskin_result siskin_model_metadata_key(const struct siskin_model *model,
                                        size_t index,
                                        struct siskin_text **out_key,
                                        struct siskin_error **out_error);

/**
 * The value of a key, as JSON; SISKIN_RESULT_MISSING if there is no such key. Null stands for an array of arrays, or of
 * more than 2^20 elements, and for a number that is not finite.
 */
siskin_result siskin_model_metadata_value(const struct siskin_model *model,
                                          const char *key,
                                          size_t key_len,
                                          struct siskin_text **out_json,
                                          struct siskin_error **out_error);

/**
 * Tells how hot the device is (a siskin_thermal): when hot, fewer threads work. Counts at once, also for jobs that run;
 * tokens do not depend on it.
 */
siskin_result siskin_model_set_thermal(const struct siskin_model *model, uint32_t thermal);

/**
 * How many threads work for now, see siskin_model_set_thermal.
 */
siskin_result siskin_model_active_threads(const struct siskin_model *model, uint32_t *out_threads);

/**
 * Tells how short of memory the device is (a siskin_pressure): pages of the model file are given back to the system, and
 * read again when they are used.
 */
siskin_result siskin_model_relieve(const struct siskin_model *model,
                                   uint32_t pressure);

/**
 * Fills `options`, whose `size` must be set, with the defaults.
 */
siskin_result siskin_moderate_options_init(struct siskin_moderate_options *options);

/**
 * Starts a moderator with these options (NULL for the defaults). It keeps what it needs of the model.
 * SISKIN_RESULT_UNSUPPORTED if the model was not made for it.
 */
siskin_result siskin_moderator_new(const struct siskin_model *model,
                                   const struct siskin_moderate_options *options,
                                   struct siskin_moderator **out_moderator,
                                   struct siskin_error **out_error);

/**
 * How probable it is, 0 to 1, that a text violates each of `policy_count` policies, all of the same size: the response that a chatbot gave to the
 * prompt, or without one (NULL) the prompt that a user wrote. `probabilities` has room for as many numbers as there are
 * policies. Computes on this thread and the model's. SISKIN_RESULT_CONTEXT_FULL for texts that are too long: none is cut.
 */
siskin_result siskin_moderator_moderate(struct siskin_moderator *moderator,
                                        const char *prompt,
                                        size_t prompt_len,
                                        const char *response,
                                        size_t response_len,
                                        const struct siskin_policy *policies,
                                        size_t policy_count,
                                        double *probabilities,
                                        struct siskin_error **out_error);

/**
 * Cancels the call that runs, which then gives SISKIN_RESULT_CANCELLED; does nothing if none does. Any thread, any time.
 */
siskin_result siskin_moderator_cancel(const struct siskin_moderator *moderator);

/**
 * Frees a moderator. NULL is fine. A call that runs goes on.
 */
siskin_result siskin_moderator_free(struct siskin_moderator *moderator);

/**
 * Fills `options`, whose `size` must be set, with the defaults.
 */
siskin_result siskin_model_options_init(struct siskin_model_options *options);

/**
 * Fills `options`, whose `size` must be set, with the defaults.
 */
siskin_result siskin_session_options_init(struct siskin_session_options *options);

/**
 * Fills `options`, whose `size` must be set, with the defaults.
 */
siskin_result siskin_generate_options_init(struct siskin_generate_options *options);

/**
 * The text: UTF-8, not terminated by NUL, valid until `text` is freed.
 */
siskin_result siskin_text_data(const struct siskin_text *text, const char **out_data, size_t *out_len);

/**
 * Frees a text. NULL is fine.
 */
siskin_result siskin_text_free(struct siskin_text *text);

/**
 * The ids, valid until `tokens` is freed.
 */
siskin_result siskin_tokens_data(const struct siskin_tokens *tokens, const uint32_t **out_ids, size_t *out_len);

/**
 * Frees tokens. NULL is fine.
 */
siskin_result siskin_tokens_free(struct siskin_tokens *tokens);

/**
 * The name of a result, such as "SISKIN_RESULT_IO"; of an unknown number, "unknown". Never NULL, valid for ever.
 */
const char *siskin_result_name(uint32_t result);

/**
 * Starts an empty session. `options` may be NULL.
 */
siskin_result siskin_session_new(const struct siskin_model *model,
                                 const struct siskin_session_options *options,
                                 struct siskin_session **out_session,
                                 struct siskin_error **out_error);

/**
 * Frees a session. NULL is fine. A job that runs on it is cancelled and ends by itself: this never waits for it.
 */
siskin_result siskin_session_free(struct siskin_session *session);

/**
 * Fills `fit`, whose `size` must be set, with what the session takes.
 */
siskin_result siskin_session_get_fit(const struct siskin_session *session, struct siskin_fit *fit);

/**
 * How many tokens the session holds.
 */
siskin_result siskin_session_position(const struct siskin_session *session, size_t *out_tokens);

/**
 * How many more tokens fit.
 */
siskin_result siskin_session_room(const struct siskin_session *session, size_t *out_tokens);

/**
 * The tokens that the session holds.
 */
siskin_result siskin_session_tokens(const struct siskin_session *session,
                                    struct siskin_tokens **out_tokens,
                                    struct siskin_error **out_error);

/**
 * Copies the logits of the last token to `logits`, which has room for `capacity` numbers, and says in `out_len` how many
 * there are: one for each row of the model's output, or none if nothing was read since the session was made or truncated.
 * With too little room nothing is copied and the call fails, but `out_len` is written.
 */
siskin_result siskin_session_logits(const struct siskin_session *session,
                                    float *logits,
                                    size_t capacity,
                                    size_t *out_len,
                                    struct siskin_error **out_error);

/**
 * Forgets every token from number `tokens` on, and says how many are left: as many, or none if a layer with a window does
 * not remember that far back.
 */
siskin_result siskin_session_truncate(struct siskin_session *session,
                                      size_t tokens,
                                      size_t *out_left);

/**
 * The tokens of a text. `add_special` adds the begin and end tokens that the file asks for; with `parse_special` the
 * texts of special tokens become those tokens.
 */
siskin_result siskin_model_tokenize(const struct siskin_model *model,
                                    const char *text,
                                    size_t text_len,
                                    bool add_special,
                                    bool parse_special,
                                    struct siskin_tokens **out_tokens,
                                    struct siskin_error **out_error);

/**
 * The text of tokens. Bytes that are not UTF-8 become U+FFFD.
 */
siskin_result siskin_model_detokenize(const struct siskin_model *model,
                                      const uint32_t *tokens,
                                      size_t token_count,
                                      bool show_special,
                                      struct siskin_text **out_text,
                                      struct siskin_error **out_error);

/**
 * The text of one token as the vocabulary has it.
 */
siskin_result siskin_model_token_text(const struct siskin_model *model,
                                      uint32_t token,
                                      struct siskin_text **out_text,
                                      struct siskin_error **out_error);

/**
 * The token that the vocabulary writes as this text (or these bytes); SISKIN_RESULT_MISSING if there is none.
 */
siskin_result siskin_model_token_id(const struct siskin_model *model,
                                    const char *text,
                                    size_t text_len,
                                    uint32_t *out_token);

/**
 * The token that begins a text; SISKIN_RESULT_MISSING if the vocabulary has none.
 */
siskin_result siskin_model_begin_token(const struct siskin_model *model, uint32_t *out_token);

/**
 * The token that ends a text; SISKIN_RESULT_MISSING if the vocabulary has none.
 */
siskin_result siskin_model_end_token(const struct siskin_model *model, uint32_t *out_token);

/**
 * Whether a token ends the model's turn: there may be several that do.
 */
siskin_result siskin_model_ends_turn(const struct siskin_model *model, uint32_t token, bool *out_ends);

/**
 * The library's version, such as "0.1.0". Valid for ever.
 */
const char *siskin_version(void);

/**
 * The version of this interface: compare it with SISKIN_ABI_VERSION of the header you were compiled with. Within one
 * version things are added, nothing is changed or removed.
 */
uint32_t siskin_abi_version(void);

/**
 * Opens the vision tower of `model` in the file at `path` (UTF-8), or in the folder of a model that sees. It keeps what it
 * needs of the model. SISKIN_RESULT_UNSUPPORTED if the file is no tower or the model does not see, SISKIN_RESULT_SHAPE if it
 * belongs to another model, SISKIN_RESULT_MISSING if the model's vocabulary has no marks of images.
 */
siskin_result siskin_vision_open_path(const struct siskin_model *model,
                                      const char *path,
                                      size_t path_len,
                                      struct siskin_vision **out_vision,
                                      struct siskin_error **out_error);

/**
 * The same from `length` bytes from byte `offset` of a file descriptor, see siskin_model_open_fd.
 */
siskin_result siskin_vision_open_fd(const struct siskin_model *model,
                                    int32_t fd,
                                    uint64_t offset,
                                    uint64_t length,
                                    struct siskin_vision **out_vision,
                                    struct siskin_error **out_error);

/**
 * The same from `len` bytes in memory, see siskin_model_open_bytes.
 */
siskin_result siskin_vision_open_bytes(const struct siskin_model *model,
                                       const uint8_t *data,
                                       size_t len,
                                       siskin_release_fn release,
                                       void *userdata,
                                       struct siskin_vision **out_vision,
                                       struct siskin_error **out_error);

/**
 * Fills `info`, whose `size` must be set.
 */
siskin_result siskin_vision_get_info(const struct siskin_vision *vision, struct siskin_vision_info *info);

/**
 * Frees a vision tower. NULL is fine. Pictures keep what they need of it.
 */
siskin_result siskin_vision_free(struct siskin_vision *vision);

/**
 * Fills `options`, whose `size` must be set, with the defaults: no pan and scan, and the numbers that the model was published
 * with.
 */
siskin_result siskin_picture_options_init(const struct siskin_vision *vision,
                                          struct siskin_picture_options *options);

/**
 * A picture of `width` x `height` pixels: rows from the top, three bytes for each pixel (red, green, blue), `len` bytes in
 * all. They are read during the call only.
 */
siskin_result siskin_picture_new_rgb(const struct siskin_vision *vision,
                                     uint32_t width,
                                     uint32_t height,
                                     const uint8_t *pixels,
                                     size_t len,
                                     struct siskin_picture **out_picture,
                                     struct siskin_error **out_error);

/**
 * The same, shown as `options` say; NULL for the defaults.
 */
siskin_result siskin_picture_new_rgb_with(const struct siskin_vision *vision,
                                          uint32_t width,
                                          uint32_t height,
                                          const uint8_t *pixels,
                                          size_t len,
                                          const struct siskin_picture_options *options,
                                          struct siskin_picture **out_picture,
                                          struct siskin_error **out_error);

/**
 * A picture from the `len` bytes of a PNG or JPEG file, upright as its camera says. They are read during the call only.
 * SISKIN_RESULT_FORMAT for bytes that are no such file; SISKIN_RESULT_UNSUPPORTED in a library that was built without
 * readers of image files, as Android's is.
 */
siskin_result siskin_picture_open_bytes(const struct siskin_vision *vision,
                                        const uint8_t *data,
                                        size_t len,
                                        struct siskin_picture **out_picture,
                                        struct siskin_error **out_error);

/**
 * The same, shown as `options` say; NULL for the defaults.
 */
siskin_result siskin_picture_open_bytes_with(const struct siskin_vision *vision,
                                             const uint8_t *data,
                                             size_t len,
                                             const struct siskin_picture_options *options,
                                             struct siskin_picture **out_picture,
                                             struct siskin_error **out_error);

/**
 * How many images a prompt has for a picture: 1, and one for each crop. Each takes the positions that siskin_vision_info
 * says.
 */
siskin_result siskin_picture_images(const struct siskin_picture *picture,
                                    size_t *out_images);

/**
 * Frees a picture. NULL is fine. Jobs that were made with it keep it.
 */
siskin_result siskin_picture_free(struct siskin_picture *picture);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SISKIN_H */
