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
    siskin_embedder *embedder, *freed_embedder, *out_embedder;
    siskin_vision *vision, *freed_vision, *out_vision;
    siskin_picture *picture, *freed_picture, *out_picture;
    siskin_moderator *moderator, *freed_moderator, *out_moderator;
    siskin_model *seeing;
    siskin_prompt prompt;
    siskin_message message;
    siskin_chat chat;
    siskin_model_options model_options;
    siskin_session_options session_options;
    siskin_generate_options generate_options;
    siskin_embed_options embed_options;
    siskin_moderate_options moderate_options;
    siskin_fim_request fim_request;
    siskin_fim_cut fim_cut;
    siskin_policy policy;
    siskin_vision_info vision_info;
    siskin_picture_options picture_options;
    siskin_model_info model_info;
    siskin_fit fit;
    siskin_outcome outcome;
    size_t n;
    uint32_t u32;
    uint64_t u64;
    bool flag;
    float number;
    double probability;
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
    siskin_embedder_free(t.out_embedder);
    siskin_vision_free(t.out_vision);
    siskin_picture_free(t.out_picture);
    siskin_moderator_free(t.out_moderator);
    t.out_model = NULL;
    t.out_session = NULL;
    t.out_job = NULL;
    t.out_error = NULL;
    t.out_text = NULL;
    t.out_tokens = NULL;
    t.out_embedder = NULL;
    t.out_vision = NULL;
    t.out_picture = NULL;
    t.out_moderator = NULL;
    siskin_job_free(t.job);
    while (siskin_session_truncate(t.session, 0, &left) == SISKIN_RESULT_BUSY) {
        nap(1);
    }
    t.job = new_job(t.session, "x", 2);
}

static void prepare(void) {
    static const uint8_t pixel[3] = {0, 0, 0};
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
    t.embed_options.size = (uint32_t)sizeof t.embed_options;
    t.model_info.size = (uint32_t)sizeof t.model_info;
    t.fit.size = (uint32_t)sizeof t.fit;
    t.outcome.size = (uint32_t)sizeof t.outcome;
    t.moderate_options.size = (uint32_t)sizeof t.moderate_options;
    t.fim_request.size = (uint32_t)sizeof t.fim_request;
    t.fim_cut.size = (uint32_t)sizeof t.fim_cut;
    t.vision_info.size = (uint32_t)sizeof t.vision_info;
    t.picture_options.size = (uint32_t)sizeof t.picture_options;
    t.policy.size = (uint32_t)sizeof t.policy;
    t.policy.name = "harassment";
    t.policy.name_len = 10;
    siskin_model_options_init(&t.model_options);
    siskin_session_options_init(&t.session_options);
    siskin_generate_options_init(&t.generate_options);
    siskin_embed_options_init(&t.embed_options);
    siskin_moderate_options_init(&t.moderate_options);
    t.moderate_options.any_model = 1;
    t.embed_options.pooling = SISKIN_POOLING_LAST;
    t.embed_options.dimensions = 1; /* as much as there is room for */
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
    siskin_embedder_new(t.model, &t.embed_options, &t.freed_embedder, NULL);
    siskin_embedder_new(t.model, &t.embed_options, &t.embedder, NULL);
    t.seeing = open_seeing_model();
    t.freed_vision = open_vision(t.seeing);
    t.vision = open_vision(t.seeing);
    siskin_picture_options_init(t.vision, &t.picture_options);
    siskin_picture_new_rgb(t.vision, 1, 1, pixel, sizeof pixel, &t.freed_picture, NULL);
    siskin_picture_new_rgb(t.vision, 1, 1, pixel, sizeof pixel, &t.picture, NULL);
    siskin_moderator_new(t.model, &t.moderate_options, &t.freed_moderator, NULL);
    siskin_moderator_new(t.model, &t.moderate_options, &t.moderator, NULL);
    siskin_vision_free(t.freed_vision);
    siskin_picture_free(t.freed_picture);
    siskin_moderator_free(t.freed_moderator);
    siskin_embedder_free(t.freed_embedder);
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
    siskin_embedder_free(t.embedder);
    siskin_vision_free(t.vision);
    siskin_picture_free(t.picture);
    siskin_moderator_free(t.moderator);
    siskin_model_free(t.seeing);
}
