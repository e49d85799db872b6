/* Usage: abi-tests SCRIPT_MODEL [REAL_MODEL]. Beside the first lies the folder `seeing`. The second is for the cancelling of a long prefill. */
#include "check.h"

#include <time.h>

static unsigned passed, failed;

const uint32_t script_tokens[SCRIPT_TOKENS] = {288, 289, 246, 165, 150, 172, 290, 261, 291, 232, 136, 292, 293, 201, 2};
const char *model_path;
double slack = 1;

bool check_that(bool good, const char *what, const char *file, int line) {
    good ? passed++ : failed++;
    if (!good) {
        printf("%s:%d: FAILED: %s\n", file, line, what);
    }
    return good;
}

bool check_result(uint32_t want, uint32_t got, const char *what, const char *file, int line) {
    if (want != got) {
        printf("%s:%d: %s gave %s\n", file, line, what, siskin_result_name(got));
    }
    return check_that(want == got, siskin_result_name(want), file, line);
}

siskin_model *open_model(void) {
    siskin_model *model = NULL;
    siskin_error *error = NULL;
    SIZED(siskin_model_options, options);
    siskin_model_options_init(&options);
    options.threads = 2;
    if (!WORKS(siskin_model_open_path(model_path, strlen(model_path), &options, &model, &error))) {
        exit(1);
    }
    return model;
}

siskin_session *new_session(const siskin_model *model) {
    siskin_session *session = NULL;
    WORKS(siskin_session_new(model, NULL, &session, NULL));
    return session;
}

siskin_job *new_job(siskin_session *session, const char *text, uint64_t max_tokens) {
    siskin_job *job = NULL;
    SIZED(siskin_prompt, prompt);
    SIZED(siskin_generate_options, options);
    prompt.text = text;
    prompt.text_len = strlen(text);
    siskin_generate_options_init(&options);
    options.temperature = 0;
    options.limit_tokens = 1;
    options.max_tokens = max_tokens;
    options.stop_at_end_of_turn = max_tokens <= SCRIPT_TOKENS;
    WORKS(siskin_job_new(session, &prompt, &options, &job, NULL));
    return job;
}

bool valid_utf8(const char *text, size_t len) {
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0;
    while (i < len) {
        const size_t more = p[i] < 0x80 ? 0 : p[i] >= 0xC2 && p[i] < 0xE0 ? 1 : p[i] >= 0xE0 && p[i] < 0xF0 ? 2 : p[i] >= 0xF0 && p[i] < 0xF5 ? 3 : 9;
        size_t k;
        if (more > len - i - 1) {
            return false;
        }
        for (k = 1; k <= more; k++) {
            if ((p[i + k] & 0xC0) != 0x80) {
                return false;
            }
        }
        i += more + 1;
    }
    return true;
}

bool contains(const char *text, size_t len, const char *part) {
    const size_t n = strlen(part);
    size_t i;
    for (i = 0; i + n <= len; i++) {
        if (memcmp(text + i, part, n) == 0) {
            return true;
        }
    }
    return false;
}

void hear(said *s, const siskin_event *event) {
    switch (event->kind) {
    case SISKIN_EVENT_PREFILL:
        s->prefills++;
        break;
    case SISKIN_EVENT_TOKEN:
        if (s->token_count < sizeof s->tokens / sizeof s->tokens[0]) {
            s->tokens[s->token_count] = event->token;
        }
        s->token_count++;
        s->logprobs += event->logprob <= 0.0F; /* false for NaN */
        break;
    case SISKIN_EVENT_TEXT:
        s->broken_texts += event->text_len == 0 || !valid_utf8(event->text, event->text_len);
        if (s->text_len + event->text_len < sizeof s->text) {
            memcpy(s->text + s->text_len, event->text, event->text_len);
            s->text_len += event->text_len;
        }
        break;
    case SISKIN_EVENT_DONE:
        s->dones++;
        s->reason = event->outcome->reason;
        s->generated = event->outcome->generated_tokens;
        break;
    default:
        FAIL("an unknown event");
    }
}

bool on_event(void *userdata, const siskin_event *event) {
    said *s = (said *)userdata;
    hear(s, event);
    return s->stop_after == 0 || s->token_count < s->stop_after;
}

double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void nap(unsigned milliseconds) {
    struct timespec time;
    time.tv_sec = (time_t)(milliseconds / 1000);
    time.tv_nsec = (long)(milliseconds % 1000) * 1000000L;
    nanosleep(&time, NULL);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s SCRIPT_MODEL [REAL_MODEL]\n", argv[0]);
        return 2;
    }
    model_path = argv[1];
    slack = getenv("SISKIN_TEST_SLOW") != NULL ? 100 : 1;
    CHECK(siskin_abi_version() == SISKIN_ABI_VERSION);
    CHECK(strcmp(siskin_version(), SISKIN_VERSION) == 0);
    test_events();
    test_reading();
    test_handles();
    test_null();
    test_sizes();
    test_embed();
    test_see();
    test_ask();
    test_callbacks();
    test_busy();
    test_threads();
    test_cancel(argc > 2 ? argv[2] : NULL);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
