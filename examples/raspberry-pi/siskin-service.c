/* A service for small boards: listens on a UNIX socket, takes each line as a request, streams the answer back and ends it with
 * a line ".". One client at a time, each with a conversation of its own. Without a socket it serves standard input.
 *
 *     cc siskin-service.c -o siskin-service $(pkg-config --cflags --libs siskin)
 *     ./siskin-service model.gguf /run/siskin/socket &
 *     echo "What is a finch?" | socat -t 60 - UNIX-CONNECT:/run/siskin/socket
 *
 * SIGTERM (systemctl stop) cancels the answer in the making and ends the service; so does a client that goes away, for its own.
 * SISKIN_TOKENS=24 in the environment: answers greedily, at most 24 tokens, and sends their ids (for tests).
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <siskin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_MESSAGES 129
#define MAX_TOKENS 512

typedef struct answer {
    FILE *client, *text; /* the text is remembered in memory that grows */
    uint32_t tokens[MAX_TOKENS];
    size_t count;
} answer;

static siskin_job *volatile current;
static volatile sig_atomic_t stopping;

static void on_stop(int number) {
    (void)number;
    stopping = 1;
    siskin_job_cancel(current); /* allowed in a signal handler; NULL or a job that is gone does no harm */
}

static bool on_event(void *userdata, const siskin_event *event) {
    answer *a = userdata;
    if (event->kind == SISKIN_EVENT_TOKEN) {
        a->tokens[a->count++] = event->token;
    } else if (event->kind == SISKIN_EVENT_TEXT) {
        fwrite(event->text, 1, event->text_len, a->text);
        fwrite(event->text, 1, event->text_len, a->client);
        return fflush(a->client) == 0 && !stopping; /* the client went away: stop */
    }
    return !stopping;
}

static siskin_message message(const char *role, const char *text, size_t len) {
    return (siskin_message){sizeof(siskin_message), 0, role, strlen(role), text, len, NULL, 0};
}

/* One conversation, to the end of the input. */
static void serve(siskin_model *model, FILE *in, FILE *out) {
    static char line[8192];
    const char *limit = getenv("SISKIN_TOKENS");
    siskin_message messages[MAX_MESSAGES] = {message("system", "You are a helpful assistant.", 28)};
    siskin_chat chat = {.size = sizeof chat, .messages = messages, .message_count = 1, .add_generation_prompt = 1};
    const siskin_prompt prompt = {.size = sizeof prompt, .chat = &chat};
    siskin_generate_options options = {.size = sizeof options};
    siskin_session *session = NULL;
    siskin_result result = siskin_session_new(model, NULL, &session, NULL);
    siskin_generate_options_init(&options);
    options.temperature = limit != NULL ? 0 : options.temperature;
    options.limit_tokens = 1;
    options.max_tokens = limit != NULL && strtoull(limit, NULL, 10) < MAX_TOKENS ? strtoull(limit, NULL, 10) : MAX_TOKENS;
    while (result == SISKIN_RESULT_OK && chat.message_count + 2 <= MAX_MESSAGES && !stopping && fgets(line, sizeof line, in) != NULL) {
        char *text = NULL;
        size_t len = 0;
        answer a = {.client = out, .text = open_memstream(&text, &len)};
        siskin_job *job = NULL;
        messages[chat.message_count++] = message("user", strdup(line), strcspn(line, "\n"));
        result = siskin_job_new(session, &prompt, &options, &job, NULL);
        current = job;
        result = result != SISKIN_RESULT_OK ? result : siskin_job_run(job, on_event, &a, NULL, NULL);
        siskin_job_free(job);
        fclose(a.text);
        messages[chat.message_count++] = message("assistant", text, len);
        for (size_t i = 0; limit != NULL && i < a.count; i++) {
            fprintf(out, "%s%u", i == 0 ? "\ntokens: " : ",", a.tokens[i]);
        }
        fprintf(out, "\n%s%s.\n", result == SISKIN_RESULT_OK ? "" : siskin_result_name(result), result == SISKIN_RESULT_OK ? "" : "\n");
        fflush(out);
    }
    siskin_session_free(session);
    while (chat.message_count > 1) free((char *)messages[--chat.message_count].content);
}

int main(int argc, char **argv) {
    const struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN}; /* no SA_RESTART: accept ends */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    siskin_model *model = NULL;
    const siskin_result result = argc < 2 ? SISKIN_RESULT_OK : siskin_model_open_path(argv[1], strlen(argv[1]), NULL, &model, NULL);
    if (model == NULL || (argc > 2 && strlen(argv[2]) >= sizeof address.sun_path)) {
        fprintf(stderr, "usage: %s MODEL [SOCKET] (%s)\n", argv[0], siskin_result_name(result));
        return 1;
    }
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    if (argc < 3) {
        serve(model, stdin, stdout);
    } else {
        const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
        unlink(strcpy(address.sun_path, argv[2]));
        if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 8) != 0) return perror(argv[2]), 1;
        for (int fd; !stopping && (fd = accept(listener, NULL, NULL)) >= 0;) {
            FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
            serve(model, in, out);
            fclose(in);
            fclose(out);
        }
        unlink(argv[2]);
    }
    siskin_model_free(model);
    return 0;
}
