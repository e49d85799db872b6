/* Good values for the arguments of every function; included by what null_table.py makes. */
#include "check.h"

#define IS_NULL_POINTER(call) GIVES(SISKIN_RESULT_NULL_POINTER, call)
#define IS_INVALID_HANDLE(call) GIVES(SISKIN_RESULT_INVALID_HANDLE, call)
#define IS_NOT_NULL_POINTER(call) check_optional(call, #call, __FILE__, __LINE__)

static struct {
    siskin_model *model, *freed_model, *out_model;
    siskin_session *session, *freed_session, *out_session;
    siskin_job *job, *freed_job, *out_job;
    siskin_error *error, *freed_error, *out_error;
    siskin_text *text, *freed_text, *out_text;
    siskin_tokens *tokens, *freed_tokens, *out_tokens;
    siskin_prompt prompt;
    siskin_message message;
    siskin_chat chat;
    siskin_model_options model_options;
    siskin_session_options session_options;
    siskin_generate_options generate_options;
    siskin_model_info model_info;
    siskin_fit fit;
    siskin_outcome outcome;
    size_t n;
    uint32_t u32;
    uint64_t u64;
    bool flag;
    float number;
    const char *data;
    const uint32_t *ids;
    const siskin_event *const *events;
} t;

static bool hear_nothing(void *userdata, const siskin_event *event) {
    (void)userdata;
    return event != NULL;
}

static void check_optional(siskin_result result, const char *what, const char *file, int line) {
    check_that(result != SISKIN_RESULT_NULL_POINTER && result != SISKIN_RESULT_PANIC && result != SISKIN_RESULT_INVALID_HANDLE, what, file, line);
}

/* Handles that the calls before used up or made. */
static void renew(void) {
    size_t left = 0;
    siskin_model_free(t.out_model);
    siskin_session_free(t.out_session);
    siskin_job_free(t.out_job);
    siskin_error_free(t.out_error);
    siskin_text_free(t.out_text);
    siskin_tokens_free(t.out_tokens);
    t.out_model = NULL;
    t.out_session = NULL;
    t.out_job = NULL;
    t.out_error = NULL;
    t.out_text = NULL;
    t.out_tokens = NULL;
    siskin_job_free(t.job);
    while (siskin_session_truncate(t.session, 0, &left) == SISKIN_RESULT_BUSY) {
        nap(1);
    }
    t.job = new_job(t.session, "x", 2);
}

static void prepare(void) {
    siskin_model *none = NULL;
    memset(&t, 0, sizeof t);
    t.prompt.size = (uint32_t)sizeof t.prompt;
    t.prompt.text = "x";
    t.prompt.text_len = 1;
    t.message.size = (uint32_t)sizeof t.message;
    t.message.role = "user";
    t.message.role_len = 4;
    t.chat.size = (uint32_t)sizeof t.chat;
    t.chat.messages = &t.message;
    t.chat.message_count = 1;
    t.model_options.size = (uint32_t)sizeof t.model_options;
    t.session_options.size = (uint32_t)sizeof t.session_options;
    t.generate_options.size = (uint32_t)sizeof t.generate_options;
    t.model_info.size = (uint32_t)sizeof t.model_info;
    t.fit.size = (uint32_t)sizeof t.fit;
    t.outcome.size = (uint32_t)sizeof t.outcome;
    siskin_model_options_init(&t.model_options);
    siskin_session_options_init(&t.session_options);
    siskin_generate_options_init(&t.generate_options);
    t.freed_model = open_model();
    t.model = open_model();
    t.freed_session = new_session(t.model);
    t.session = new_session(t.model);
    t.freed_job = new_job(t.session, "x", 2);
    t.job = new_job(t.session, "x", 2);
    siskin_model_open_path("", 0, NULL, &none, &t.freed_error);
    siskin_model_open_path("", 0, NULL, &none, &t.error);
    siskin_model_chat_template(t.model, &t.freed_text, NULL);
    siskin_model_chat_template(t.model, &t.text, NULL);
    siskin_model_tokenize(t.model, "x", 1, false, false, &t.freed_tokens, NULL);
    siskin_model_tokenize(t.model, "x", 1, false, false, &t.tokens, NULL);
    siskin_model_free(t.freed_model);
    siskin_session_free(t.freed_session);
    siskin_job_free(t.freed_job);
    siskin_error_free(t.freed_error);
    siskin_text_free(t.freed_text);
    siskin_tokens_free(t.freed_tokens);
}

static void finish(void) {
    renew();
    siskin_job_free(t.job);
    siskin_session_free(t.session);
    siskin_model_free(t.model);
    siskin_error_free(t.error);
    siskin_text_free(t.text);
    siskin_tokens_free(t.tokens);
}
