/* What the tests share: counting, failing with a place, and the things that most tests need. Compiles as C99 to C17 and as
 * C++11 to C++20. The model is the one of `cargo xtask script-model`, which always says the same. */
#ifndef CHECK_H
#define CHECK_H

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "siskin.h"

/* A check that goes on after a failure. */
#define CHECK(condition) check_that((condition) ? true : false, #condition, __FILE__, __LINE__)
#define FAIL(what) check_that(false, what, __FILE__, __LINE__)
/* That a call gave this result. */
#define GIVES(result, call) check_result((uint32_t)(result), (uint32_t)(call), #call, __FILE__, __LINE__)
#define WORKS(call) GIVES(SISKIN_RESULT_OK, call)
/* A struct of the interface, empty but for its size. */
#define SIZED(type, name) \
    type name;            \
    memset(&name, 0, sizeof name); \
    name.size = (uint32_t)sizeof name

bool check_that(bool good, const char *what, const char *file, int line);
bool check_result(uint32_t want, uint32_t got, const char *what, const char *file, int line);

/* The script: what the model says after any prompt. */
#define SCRIPT_TEXT " Hello \xF0\x9F\x90\xA6,\xEF\xBF\xBD and\xEF\xBF\xBD bye!\xEF\xBF\xBD"
#define SCRIPT_TOKENS 15
extern const uint32_t script_tokens[SCRIPT_TOKENS];
extern const char *model_path;
/* 1, or more where everything is slow (SISKIN_TEST_SLOW in the environment: valgrind). */
extern double slack;

siskin_model *open_model(void);
siskin_session *new_session(const siskin_model *model);
/* Those of `cargo xtask seeing-model`. */
siskin_model *open_seeing_model(void);
siskin_vision *open_vision(const siskin_model *model);
/* Greedy, from a prompt of text; past the end token if it is to be long. */
siskin_job *new_job(siskin_session *session, const char *text, uint64_t max_tokens);
#define LONG_JOB 4000

/* What a job said. */
typedef struct said {
    char text[4096];
    size_t text_len;
    uint32_t tokens[64];
    size_t token_count;
    unsigned logprobs, prefills, dones, broken_texts;
    uint32_t reason;
    uint64_t generated;
    size_t stop_after; /* token events after which to say stop; 0 for never */
} said;

void hear(said *s, const siskin_event *event);
bool on_event(void *userdata, const siskin_event *event);
bool valid_utf8(const char *text, size_t len);
bool contains(const char *text, size_t len, const char *part);
double seconds(void);
void nap(unsigned milliseconds);

/* The parts. */
void test_events(void);
void test_reading(void);
void test_handles(void);
void test_null(void); /* made from the header by null_table.py */
void test_sizes(void);
void test_embed(void);
void test_see(void);
void test_ask(void);
void test_callbacks(void);
void test_busy(void);
void test_threads(void);
void test_cancel(const char *real_model);

#endif
