/* For programs that allocate nothing once they run: the caller's buffers are static, answers are pulled, a timer cancels one
 * that takes too long. (The library allocates when a model, session or job is made; computing tokens allocates nothing.)
 *
 *     cc embedded.c -o embedded $(pkg-config --cflags --libs siskin)
 *     DEADLINE_MS=2000 ./embedded model.gguf [PROMPT]      # without a prompt: lines of standard input
 *
 * SISKIN_TOKENS=24 in the environment: answers greedily, at most 24 tokens, and prints their ids (for tests).
 */
#include <signal.h>
#include <siskin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define MAX_MESSAGES 32
#define MAX_TOKENS 4096

static siskin_message messages[MAX_MESSAGES];
static siskin_chat chat = {.size = sizeof chat, .messages = messages, .add_generation_prompt = 1};
static char texts[65536]; /* of the whole conversation, one behind the other */
static size_t texts_len;
static uint32_t tokens[MAX_TOKENS];
static size_t token_count;
static siskin_job *volatile current;

/* The timer's handler: cancelling is allowed in a signal handler, at any time. */
static void on_deadline(int number) {
    (void)number;
    siskin_job_cancel(current);
}

static void set_deadline(long ms) {
    const struct itimerval timer = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Adds to the message that is being made; false when there is no room. */
static bool append(const char *text, size_t len) {
    const bool fits = len <= sizeof texts - texts_len;
    memcpy(texts + texts_len, text, fits ? len : 0);
    texts_len += fits ? len : 0;
    return fits;
}

/* The text since `start` is a message. */
static bool finish(const char *role, size_t start) {
    if (chat.message_count == MAX_MESSAGES) {
        return false;
    }
    messages[chat.message_count++] = (siskin_message){.size = sizeof *messages, .role = role, .role_len = strlen(role),
                                                      .content = texts + start, .content_len = texts_len - start};
    return true;
}

static bool say(const char *role, const char *text) {
    const size_t start = texts_len;
    return append(text, strcspn(text, "\n")) && finish(role, start);
}

/* Pulls events of the current job to its end; what it said becomes the assistant's message. */
static bool answer(void) {
    const size_t start = texts_len;
    const siskin_event *const *events;
    size_t count;
    bool room = true, done = false;
    token_count = 0;
    while (!done && siskin_job_next(current, -1, &events, &count, NULL) == SISKIN_RESULT_OK) {
        for (size_t i = 0; i < count; i++) {
            if (events[i]->kind == SISKIN_EVENT_TEXT) {
                fwrite(events[i]->text, 1, events[i]->text_len, stdout);
                room = room && append(events[i]->text, events[i]->text_len);
            } else if (events[i]->kind == SISKIN_EVENT_TOKEN && token_count < MAX_TOKENS) {
                tokens[token_count++] = events[i]->token;
            }
            done = events[i]->kind == SISKIN_EVENT_DONE;
        }
        fflush(stdout);
    }
    puts("");
    return done && room && finish("assistant", start);
}

int main(int argc, char **argv) {
    static char line[4096], in[4096], out[4096];
    const char *limit = getenv("SISKIN_TOKENS"), *deadline = getenv("DEADLINE_MS");
    siskin_model *model = NULL;
    siskin_session *session = NULL;
    siskin_job *job = NULL;
    siskin_prompt prompt = {.size = sizeof prompt, .chat = &chat};
    siskin_generate_options options = {.size = sizeof options};
    siskin_generate_options_init(&options);
    options.temperature = limit != NULL ? 0 : options.temperature;
    options.limit_tokens = limit != NULL;
    options.max_tokens = limit != NULL ? strtoull(limit, NULL, 10) : 0;
    if (argc < 2 || siskin_model_open_path(argv[1], strlen(argv[1]), NULL, &model, NULL) != SISKIN_RESULT_OK ||
        siskin_session_new(model, NULL, &session, NULL) != SISKIN_RESULT_OK || !say("system", "You are a helpful assistant.")) {
        return 1;
    }
    setvbuf(stdin, in, _IOFBF, sizeof in), setvbuf(stdout, out, _IOFBF, sizeof out); /* or stdio would allocate some */
    signal(SIGALRM, on_deadline);
    while (argc > 2 ? chat.message_count == 1 : fgets(line, sizeof line, stdin) != NULL) {
        if (!say("user", argc > 2 ? argv[2] : line) || siskin_job_new(session, &prompt, &options, &job, NULL) != SISKIN_RESULT_OK) {
            return 1;
        }
        current = job;
        set_deadline(deadline != NULL ? strtol(deadline, NULL, 10) : 2000);
        const bool good = answer();
        set_deadline(0);
        siskin_job_free(job);
        for (size_t i = 0; limit != NULL && i < token_count; i++) {
            printf("%s%u%s", i == 0 ? "tokens: " : ",", tokens[i], i + 1 == token_count ? "\n" : "");
        }
        if (!good || fflush(stdout) != 0) {
            return 3; /* a real program would begin a new conversation */
        }
    }
    return 0;
}
