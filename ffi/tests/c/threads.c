/* Eight threads on one model and on the same sessions and jobs, doing what they like: errors as documented, right answers. */
#include "check.h"

#include <pthread.h>

#define THREADS 8

static siskin_model *model;
static siskin_session *shared;
static siskin_job *jobs[THREADS]; /* anybody's; changed under `lock` */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned rounds;

typedef struct worker {
    unsigned number, wrong, answers, busy;
} worker;

static siskin_job *exchange(size_t place, siskin_job *job) {
    siskin_job *before;
    pthread_mutex_lock(&lock);
    before = jobs[place];
    jobs[place] = job;
    pthread_mutex_unlock(&lock);
    return before;
}

static siskin_job *look(size_t place) {
    siskin_job *job;
    pthread_mutex_lock(&lock);
    job = jobs[place];
    pthread_mutex_unlock(&lock);
    return job;
}

/* One of the results that this may give. */
static bool either(siskin_result result, siskin_result other) { return result == SISKIN_RESULT_OK || result == other; }

static siskin_job *quiet_job(siskin_session *session) {
    siskin_job *job = NULL;
    SIZED(siskin_prompt, prompt);
    SIZED(siskin_generate_options, options);
    siskin_generate_options_init(&options);
    options.temperature = 0;
    prompt.text = "hello";
    prompt.text_len = 5;
    return siskin_job_new(session, &prompt, &options, &job, NULL) == SISKIN_RESULT_OK ? job : NULL;
}

static void *work(void *userdata) {
    worker *w = (worker *)userdata;
    uint32_t random = w->number * 2654435761U + 1;
    siskin_session *mine = NULL;
    unsigned round;
    w->wrong += siskin_session_new(model, NULL, &mine, NULL) != SISKIN_RESULT_OK;
    for (round = 0; round < rounds; round++) {
        said s;
        siskin_job *job;
        siskin_tokens *tokens = NULL;
        siskin_text *text = NULL;
        siskin_error *error = NULL;
        siskin_result result;
        size_t n = 0, place;
        random = random * 1664525U + 1013904223U;
        place = (random >> 8) % THREADS;
        /* My own session answers as if alone. */
        memset(&s, 0, sizeof s);
        w->wrong += siskin_session_truncate(mine, 0, &n) != SISKIN_RESULT_OK;
        job = quiet_job(mine);
        w->wrong += siskin_job_run(job, on_event, &s, NULL, NULL) != SISKIN_RESULT_OK || strcmp(s.text, SCRIPT_TEXT) != 0;
        w->wrong += siskin_job_free(job) != SISKIN_RESULT_OK;
        /* The shared one is mine, or busy. */
        memset(&s, 0, sizeof s);
        job = quiet_job(shared);
        result = siskin_job_run(job, on_event, &s, NULL, &error);
        w->wrong += !either(result, SISKIN_RESULT_BUSY) || (error == NULL) != (result == SISKIN_RESULT_OK);
        w->answers += result == SISKIN_RESULT_OK;
        w->busy += result == SISKIN_RESULT_BUSY;
        w->wrong += siskin_error_free(error) != SISKIN_RESULT_OK || siskin_job_free(job) != SISKIN_RESULT_OK;
        w->wrong += !either(siskin_session_truncate(shared, 0, &n), SISKIN_RESULT_BUSY);
        w->wrong += !either(siskin_session_tokens(shared, &tokens, NULL), SISKIN_RESULT_BUSY);
        w->wrong += siskin_tokens_free(tokens) != SISKIN_RESULT_OK;
        /* Jobs in everybody's reach: started, asked, cancelled and freed by whoever comes. */
        job = quiet_job(mine);
        w->wrong += siskin_job_start(job, NULL) != SISKIN_RESULT_OK;
        job = exchange(place, job);
        if (job != NULL) {
            w->wrong += siskin_job_free(job) != SISKIN_RESULT_OK;
        }
        job = look((place + 1) % THREADS);
        if (job != NULL) {
            SIZED(siskin_outcome, outcome);
            bool ended = false;
            w->wrong += !either(siskin_job_get_outcome(job, &outcome, &ended, NULL), SISKIN_RESULT_INVALID_HANDLE);
            w->wrong += !either(siskin_job_cancel(job), SISKIN_RESULT_INVALID_HANDLE);
        }
        /* Mine is free again when its job has ended. */
        while (siskin_session_position(mine, &n) == SISKIN_RESULT_BUSY) {
            nap(1);
        }
        w->wrong += siskin_model_chat_template(model, &text, NULL) != SISKIN_RESULT_OK || siskin_text_free(text) != SISKIN_RESULT_OK;
        w->wrong += siskin_model_set_thermal(model, random >> 30) != SISKIN_RESULT_OK;
    }
    w->wrong += siskin_session_free(mine) != SISKIN_RESULT_OK;
    return NULL;
}

void test_threads(void) {
    pthread_t threads[THREADS];
    worker workers[THREADS];
    unsigned i, answers = 0;
    rounds = slack > 1 ? 4 : 25;
    model = open_model();
    shared = new_session(model);
    memset(workers, 0, sizeof workers);
    for (i = 0; i < THREADS; i++) {
        workers[i].number = i;
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(workers[i].wrong == 0);
        CHECK(workers[i].answers + workers[i].busy == rounds);
        answers += workers[i].answers;
    }
    CHECK(answers > 0);
    for (i = 0; i < THREADS; i++) {
        WORKS(siskin_job_free(jobs[i]));
    }
    WORKS(siskin_session_free(shared));
    WORKS(siskin_model_free(model));
}
