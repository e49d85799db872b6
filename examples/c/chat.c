/* A conversation in C: answers stream as they come, Ctrl-C cancels an answer.
 *
 *     cc chat.c -o chat $(pkg-config --cflags --libs siskin)
 *     ./chat model.gguf                       # reads messages from standard input, one per line
 *     ./chat model.gguf "What is a finch?"    # one answer
 *
 * SISKIN_TOKENS=24 in the environment: answers greedily, at most 24 tokens, and prints their ids (for tests).
 */
#include <signal.h>
#include <siskin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGES 256

static siskin_job *volatile current; /* what Ctrl-C cancels */

static void on_interrupt(int number) {
    (void)number;
    if (siskin_job_cancel(current) != SISKIN_RESULT_OK) {
        _Exit(130); /* there is no answer to cancel */
    }
}

static int fail(siskin_error *error) {
    siskin_text *text = NULL;
    const char *data = "";
    size_t len = 0;
    siskin_error_describe(error, &text); /* what, which file, which key, tensor and offset */
    siskin_text_data(text, &data, &len);
    fprintf(stderr, "chat: %.*s\n", (int)len, data);
    siskin_text_free(text);
    siskin_error_free(error);
    return 1;
}

typedef struct answer {
    char text[32768];
    size_t len;
    unsigned tokens[4096];
    size_t token_count;
} answer;

/* Called on this thread, from siskin_job_run. */
static bool on_event(void *userdata, const siskin_event *event) {
    answer *a = userdata;
    if (event->kind == SISKIN_EVENT_TOKEN && a->token_count < sizeof a->tokens / sizeof *a->tokens) {
        a->tokens[a->token_count++] = event->token;
    }
    if (event->kind == SISKIN_EVENT_TEXT) {
        if (event->text_len > sizeof a->text - a->len) {
            return false; /* no room to remember it: stop */
        }
        memcpy(a->text + a->len, event->text, event->text_len);
        a->len += event->text_len;
        fwrite(event->text, 1, event->text_len, stdout);
        fflush(stdout);
    }
    return true;
}

/* Adds a message; the text is copied and lives as long as the program. */
static void add(siskin_chat *chat, siskin_message *messages, const char *role, const char *text, size_t len) {
    siskin_message *message = &messages[chat->message_count++];
    char *copy = malloc(len + 1);
    if (copy == NULL || chat->message_count == MAX_MESSAGES) exit(1);
    memcpy(copy, text, len);
    *message = (siskin_message){.size = sizeof *message, .role = role, .role_len = strlen(role), .content = copy, .content_len = len};
}

int main(int argc, char **argv) {
    static siskin_message messages[MAX_MESSAGES];
    static answer a;
    char line[4096];
    const char *limit = getenv("SISKIN_TOKENS"), *system = "You are a helpful assistant.";
    siskin_model *model = NULL;
    siskin_session *session = NULL;
    siskin_error *error = NULL;
    siskin_chat chat = {.size = sizeof chat, .messages = messages, .add_generation_prompt = 1};
    siskin_prompt prompt = {.size = sizeof prompt, .chat = &chat};
    siskin_generate_options options = {.size = sizeof options};
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL [PROMPT]\n", argv[0]);
        return 2;
    }
    if (siskin_model_open_path(argv[1], strlen(argv[1]), NULL, &model, &error) != SISKIN_RESULT_OK ||
        siskin_session_new(model, NULL, &session, &error) != SISKIN_RESULT_OK) {
        return fail(error);
    }
    siskin_generate_options_init(&options);
    options.temperature = limit != NULL ? 0 : options.temperature;
    options.limit_tokens = limit != NULL;
    options.max_tokens = limit != NULL ? strtoull(limit, NULL, 10) : 0;
    signal(SIGINT, on_interrupt);
    add(&chat, messages, "system", system, strlen(system));
    while (argc > 2 ? chat.message_count == 1 : fgets(line, sizeof line, stdin) != NULL) {
        const char *text = argc > 2 ? argv[2] : line;
        siskin_job *job = NULL;
        add(&chat, messages, "user", text, strcspn(text, "\n"));
        a.len = a.token_count = 0;
        if (siskin_job_new(session, &prompt, &options, &job, &error) != SISKIN_RESULT_OK) {
            return fail(error);
        }
        current = job;
        if (siskin_job_run(job, on_event, &a, NULL, &error) != SISKIN_RESULT_OK) {
            return fail(error);
        }
        siskin_job_free(job); /* from here on Ctrl-C finds nothing to cancel */
        puts("");
        add(&chat, messages, "assistant", a.text, a.len);
        for (size_t i = 0; limit != NULL && i < a.token_count; i++) {
            printf("%s%u%s", i == 0 ? "tokens: " : ",", a.tokens[i], i + 1 == a.token_count ? "\n" : "");
        }
    }
    siskin_session_free(session);
    siskin_model_free(model);
    return 0;
}
