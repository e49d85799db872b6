/* What an event function may do: call the library again, cancel, and free everything, the job that calls it included. */
#include "check.h"

typedef struct inside {
    siskin_model *model;
    siskin_session *session;
    siskin_job *job;
    unsigned events, texts;
    uint32_t reason;
    void (*once)(struct inside *in); /* at the second token */
    siskin_outcome outcome;
} inside;

static bool hear_inside(void *userdata, const siskin_event *event) {
    inside *in = (inside *)userdata;
    if (event->kind == SISKIN_EVENT_TOKEN && ++in->events == 2) {
        in->once(in);
    }
    in->texts += event->kind == SISKIN_EVENT_TEXT && valid_utf8(event->text, event->text_len);
    if (event->kind == SISKIN_EVENT_DONE) {
        in->reason = event->outcome->reason;
    }
    return true;
}

static void again(inside *in) {
    said s;
    size_t n = 0;
    siskin_job *other = NULL;
    siskin_session *mine = NULL;
    const siskin_event *const *events = NULL;
    siskin_tokens *tokens = NULL;
    memset(&s, 0, sizeof s);
    /* The job that runs and its session are busy. */
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_run(in->job, hear_inside, in, NULL, NULL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_start(in->job, NULL));
    GIVES(SISKIN_RESULT_BUSY, siskin_session_position(in->session, &n));
    GIVES(SISKIN_RESULT_BUSY, siskin_session_truncate(in->session, 0, &n));
    GIVES(SISKIN_RESULT_BUSY, siskin_session_logits(in->session, NULL, 0, &n, NULL));
    GIVES(SISKIN_RESULT_BUSY, siskin_session_tokens(in->session, &tokens, NULL));
    other = new_job(in->session, "x", 3);
    GIVES(SISKIN_RESULT_BUSY, siskin_job_run(other, on_event, &s, NULL, NULL));
    GIVES(SISKIN_RESULT_BUSY, siskin_job_next(other, 0, &events, &n, NULL));
    GIVES(SISKIN_RESULT_BUSY, siskin_job_start(other, NULL));
    WORKS(siskin_job_free(other));
    /* Everything else works, also a whole answer of another session. */
    mine = new_session(in->model);
    other = new_job(mine, "hello", SCRIPT_TOKENS);
    WORKS(siskin_job_run(other, on_event, &s, NULL, NULL));
    CHECK(strcmp(s.text, SCRIPT_TEXT) == 0);
    WORKS(siskin_job_free(other));
    WORKS(siskin_session_free(mine));
}

static void cancel(inside *in) { WORKS(siskin_job_cancel(in->job)); }
static void free_job(inside *in) { WORKS(siskin_job_free(in->job)); }
static void free_session(inside *in) { WORKS(siskin_session_free(in->session)); }
static void free_model(inside *in) { WORKS(siskin_model_free(in->model)); }
static void free_all(inside *in) {
    free_model(in);
    free_session(in);
    free_job(in);
}

void test_callbacks(void) {
    static const struct {
        void (*once)(inside *in);
        uint32_t reason;
        bool keeps_model, keeps_session, keeps_job;
    } cases[] = {
        {again, SISKIN_STOP_END_OF_TURN, true, true, true},     {cancel, SISKIN_STOP_CANCELLED, true, true, true},
        {free_job, SISKIN_STOP_CANCELLED, true, true, false},   {free_session, SISKIN_STOP_CANCELLED, true, false, true},
        {free_model, SISKIN_STOP_END_OF_TURN, false, true, true}, {free_all, SISKIN_STOP_CANCELLED, false, false, false},
    };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        inside in;
        memset(&in, 0, sizeof in);
        in.once = cases[i].once;
        in.model = open_model();
        in.session = new_session(in.model);
        in.job = new_job(in.session, "hello", SCRIPT_TOKENS);
        in.outcome.size = (uint32_t)sizeof in.outcome;
        WORKS(siskin_job_run(in.job, hear_inside, &in, &in.outcome, NULL));
        CHECK(in.reason == cases[i].reason && in.outcome.reason == cases[i].reason && in.texts > 0);
        GIVES(cases[i].keeps_job ? SISKIN_RESULT_OK : SISKIN_RESULT_INVALID_HANDLE, siskin_job_free(in.job));
        GIVES(cases[i].keeps_session ? SISKIN_RESULT_OK : SISKIN_RESULT_INVALID_HANDLE, siskin_session_free(in.session));
        GIVES(cases[i].keeps_model ? SISKIN_RESULT_OK : SISKIN_RESULT_INVALID_HANDLE, siskin_model_free(in.model));
    }
}
