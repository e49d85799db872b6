/* Freeing what is at work: returns at once, and the work ends by itself. */
#include "check.h"

#include <pthread.h>

/* Freeing waits for no computing. A job of LONG_JOB tokens takes hundreds of times as long, under valgrind too. */
#define AT_ONCE 0.05 /* seconds */


static void on_log(void *userdata, uint32_t level, const char *message, size_t len) {
    (void)level;
    if (contains(message, len, "job ended")) {
        *(volatile bool *)userdata = true;
    }
}

typedef struct puller {
    siskin_job *job;
    said s;
    siskin_result result;
} puller;

/* Pulls until an end or a failure. */
static void *pull(void *userdata) {
    puller *p = (puller *)userdata;
    const siskin_event *const *events = NULL;
    size_t count = 0;
    while ((p->result = siskin_job_next(p->job, -1, &events, &count, NULL)) == SISKIN_RESULT_OK) {
        const siskin_job *job = p->job;
        bool ended = false;
        SIZED(siskin_outcome, outcome);
        if (siskin_job_get_outcome(job, &outcome, &ended, NULL) != SISKIN_RESULT_OK || ended) {
            break;
        }
    }
    return NULL;
}

static void free_while_running(int what) {
    siskin_model *model = NULL;
    siskin_session *session;
    siskin_job *job;
    volatile bool ended = false;
    double started;
    unsigned i;
    SIZED(siskin_model_options, options);
    WORKS(siskin_model_options_init(&options));
    options.log = on_log;
    options.log_userdata = (void *)&ended;
    WORKS(siskin_model_open_path(model_path, strlen(model_path), &options, &model, NULL));
    session = new_session(model);
    job = new_job(session, "hello", LONG_JOB);
    WORKS(siskin_job_start(job, NULL));
    nap(20);
    CHECK(!ended);
    started = seconds();
    switch (what) {
    case 0: WORKS(siskin_job_free(job)); break;
    case 1: WORKS(siskin_session_free(session)); break;
    default:
        WORKS(siskin_model_free(model));
        WORKS(siskin_session_free(session));
        WORKS(siskin_job_free(job));
        break;
    }
    CHECK(seconds() - started < AT_ONCE * slack);
    for (i = 0; i < 60000 && !ended; i++) {
        nap(1);
    }
    CHECK(ended);
    if (what == 0) {
        size_t position = 0;
        siskin_result result = SISKIN_RESULT_BUSY;
        for (i = 0; i < 60000 && result == SISKIN_RESULT_BUSY; i++) { /* the log comes a moment before the session is free */
            result = siskin_session_position(session, &position);
            nap(1);
        }
        WORKS(result); /* free again, with what was read */
        CHECK((position > 0 || slack > 1) && position < LONG_JOB);
        WORKS(siskin_session_free(session));
        WORKS(siskin_model_free(model));
    } else if (what == 1) {
        SIZED(siskin_outcome, outcome);
        bool known = false;
        for (i = 0; i < 60000 && !known; i++) { /* the log comes a moment before the outcome */
            WORKS(siskin_job_get_outcome(job, &outcome, &known, NULL));
            nap(1);
        }
        CHECK(known && outcome.reason == SISKIN_STOP_CANCELLED);
        WORKS(siskin_job_free(job));
        WORKS(siskin_model_free(model));
    }
    nap(20); /* the log function's flag lies on this stack */
}

/* A job is freed while another thread waits in siskin_job_next: that call fails and gives no events. */
static void free_while_pulled(void) {
    siskin_model *model = open_model();
    siskin_session *session = new_session(model);
    unsigned i;
    for (i = 0; i < 20; i++) {
        puller p;
        pthread_t thread;
        size_t left = 0;
        memset(&p, 0, sizeof p);
        p.job = new_job(session, "hello", LONG_JOB);
        CHECK(pthread_create(&thread, NULL, pull, &p) == 0);
        nap(i % 4);
        WORKS(siskin_job_free(p.job));
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(p.result == SISKIN_RESULT_INVALID_HANDLE || p.result == SISKIN_RESULT_OK);
        while (siskin_session_truncate(session, 0, &left) == SISKIN_RESULT_BUSY) {
            nap(1);
        }
    }
    WORKS(siskin_session_free(session));
    WORKS(siskin_model_free(model));
}

void test_busy(void) {
    int what;
    for (what = 0; what < 3; what++) {
        free_while_running(what);
    }
    free_while_pulled();
}
