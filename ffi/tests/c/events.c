/* What a job tells, pushed and pulled. */
#include "check.h"

#include <math.h>

static void check_script(const said *s) {
    CHECK(s->text_len == strlen(SCRIPT_TEXT) && memcmp(s->text, SCRIPT_TEXT, s->text_len) == 0);
    CHECK(s->token_count == SCRIPT_TOKENS && memcmp(s->tokens, script_tokens, sizeof script_tokens) == 0);
    CHECK(s->broken_texts == 0 && s->prefills > 0 && s->dones == 1);
    CHECK(s->reason == SISKIN_STOP_END_OF_TURN && s->generated == SCRIPT_TOKENS);
}

/* Pulls to the end. */
static void pull(siskin_job *job, int64_t timeout, said *s) {
    const siskin_event *const *events = NULL;
    size_t count = 0, i;
    while (s->dones == 0 && WORKS(siskin_job_next(job, timeout, &events, &count, NULL))) {
        CHECK(timeout >= 0 || count > 0);
        if (count == 0) {
            nap(1);
        }
        for (i = 0; i < count; i++) {
            CHECK(s->dones == 0 && events[i]->size == sizeof(siskin_event));
            hear(s, events[i]);
        }
    }
}

static void conversation(const siskin_model *model) {
    siskin_session *session = new_session(model);
    siskin_message messages[3];
    said first, second;
    SIZED(siskin_chat, chat);
    SIZED(siskin_prompt, prompt);
    SIZED(siskin_outcome, outcome);
    siskin_job *job = NULL;
    size_t i, before = 0, whole = 0;
    const char *roles[3] = {"user", "assistant", "user"}, *contents[3] = {"hello", SCRIPT_TEXT, "again \xF0\x9F\x90\xA6"};
    siskin_tokens *tokens = NULL;
    siskin_text *text = NULL;
    const char *data = NULL;
    const uint32_t *ids = NULL;
    size_t len = 0;
    memset(messages, 0, sizeof messages);
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    for (i = 0; i < 3; i++) {
        messages[i].size = (uint32_t)sizeof messages[i];
        messages[i].role = roles[i];
        messages[i].role_len = strlen(roles[i]);
        messages[i].content = contents[i];
        messages[i].content_len = strlen(contents[i]);
    }
    chat.messages = messages;
    chat.message_count = 1;
    chat.add_generation_prompt = 1;
    prompt.chat = &chat;
    WORKS(siskin_job_new(session, &prompt, NULL, &job, NULL));
    WORKS(siskin_job_run(job, on_event, &first, NULL, NULL));
    WORKS(siskin_job_free(job));
    check_script(&first);
    WORKS(siskin_session_position(session, &before));
    chat.message_count = 3;
    WORKS(siskin_model_render(model, &chat, &text, NULL));
    WORKS(siskin_text_data(text, &data, &len));
    CHECK(len > 13 && memcmp(data + len - 13, "<|assistant|>", 13) == 0 && contains(data, len, "again \xF0\x9F\x90\xA6"));
    WORKS(siskin_model_tokenize(model, data, len, true, true, &tokens, NULL));
    WORKS(siskin_tokens_data(tokens, &ids, &whole));
    WORKS(siskin_job_new(session, &prompt, NULL, &job, NULL));
    WORKS(siskin_job_run(job, on_event, &second, &outcome, NULL));
    check_script(&second);
    /* The first turn is not read again. */
    CHECK(outcome.prompt_tokens > 0 && outcome.prompt_tokens < whole && before > 0);
    WORKS(siskin_text_free(text));
    WORKS(siskin_tokens_free(tokens));
    WORKS(siskin_job_free(job));
    WORKS(siskin_session_free(session));
}

void test_events(void) {
    siskin_model *model = open_model();
    siskin_session *session = new_session(model);
    siskin_job *job = new_job(session, "hello", SCRIPT_TOKENS);
    SIZED(siskin_outcome, outcome);
    SIZED(siskin_prompt, prompt);
    SIZED(siskin_generate_options, options);
    said s;
    const siskin_event *const *events = NULL;
    size_t count = 0, left = 0;
    bool ended = true;
    const char *stop = "and";
    size_t stop_len = 3;
    uint32_t banned = 288;
    float infinity_less = -HUGE_VALF;

    /* Pushed. */
    memset(&s, 0, sizeof s);
    WORKS(siskin_job_get_outcome(job, &outcome, &ended, NULL));
    CHECK(!ended);
    WORKS(siskin_job_run(job, on_event, &s, &outcome, NULL));
    check_script(&s);
    CHECK(s.logprobs == 0 && outcome.reason == SISKIN_STOP_END_OF_TURN && outcome.generated_tokens == SCRIPT_TOKENS);
    CHECK(outcome.size == sizeof outcome && outcome.prompt_tokens > 0);
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_run(job, on_event, &s, NULL, NULL)); /* once only */
    WORKS(siskin_job_get_outcome(job, &outcome, &ended, NULL));
    CHECK(ended);
    WORKS(siskin_job_free(job));

    /* Pulled: waiting, and asking again and again. */
    {
        const int64_t timeouts[3] = {-1, 0, 1};
        size_t i;
        for (i = 0; i < 3; i++) {
            WORKS(siskin_session_truncate(session, 0, &left));
            job = new_job(session, "hello", SCRIPT_TOKENS);
            memset(&s, 0, sizeof s);
            pull(job, timeouts[i], &s);
            check_script(&s);
            WORKS(siskin_job_next(job, 0, &events, &count, NULL));
            CHECK(count == 1 && events[0]->kind == SISKIN_EVENT_DONE);
            WORKS(siskin_job_free(job));
        }
    }

    /* A slow reader loses nothing: more events than may wait. */
    WORKS(siskin_session_truncate(session, 0, &left));
    job = new_job(session, "hello", 800);
    WORKS(siskin_job_start(job, NULL));
    nap(100);
    memset(&s, 0, sizeof s);
    pull(job, -1, &s);
    CHECK(s.token_count == 800 && s.generated == 800 && s.reason == SISKIN_STOP_MAX_TOKENS && s.broken_texts == 0);
    WORKS(siskin_job_free(job));

    /* Log-probabilities, a stop text, a token that is banned. */
    WORKS(siskin_session_truncate(session, 0, &left));
    prompt.text = "x";
    prompt.text_len = 1;
    WORKS(siskin_generate_options_init(&options));
    options.temperature = 0;
    options.logprobs = 1;
    options.stop = &stop;
    options.stop_lens = &stop_len;
    options.stop_count = 1;
    memset(&s, 0, sizeof s);
    WORKS(siskin_job_new(session, &prompt, &options, &job, NULL));
    WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
    CHECK(s.reason == SISKIN_STOP_STRING && s.logprobs == s.token_count && strstr(s.text, "and") == NULL);
    WORKS(siskin_job_free(job));
    options.stop_count = 0;
    options.bias_tokens = &banned;
    options.bias_values = &infinity_less;
    options.bias_count = 1;
    options.limit_tokens = 1;
    options.max_tokens = 1;
    memset(&s, 0, sizeof s);
    WORKS(siskin_job_new(session, &prompt, &options, &job, NULL));
    WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
    CHECK(s.token_count == 1 && s.tokens[0] != banned && s.reason == SISKIN_STOP_MAX_TOKENS);
    WORKS(siskin_job_free(job));

    /* The function may say stop; what came before stays. */
    WORKS(siskin_session_truncate(session, 0, &left));
    memset(&s, 0, sizeof s);
    s.stop_after = 3;
    job = new_job(session, "hello", SCRIPT_TOKENS);
    WORKS(siskin_job_run(job, on_event, &s, &outcome, NULL));
    CHECK(outcome.reason == SISKIN_STOP_CALLER && s.token_count == 3 && s.dones == 1);
    WORKS(siskin_job_free(job));

    conversation(model);
    WORKS(siskin_session_free(session));
    WORKS(siskin_model_free(model));
}
