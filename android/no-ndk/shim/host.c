/*
 * host LIBRARY MODEL: loads Android's libsiskin.so as an app would, opens the model from the middle of a file by
 * descriptor, offset and length, and prints the first eight greedy tokens. Linked against nothing of ours.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "siskin.h"

#define LOOK_UP(name) __typeof__(name) *name##_ = (__typeof__(name) *)dlsym(library, #name); if (!name##_) return complain(#name, dlerror())

static int complain(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why ? why : "not found");
    return 1;
}

static bool on_event(void *userdata, const siskin_event *event) {
    int *said = userdata;
    if (event->kind == SISKIN_EVENT_TOKEN) printf("%s%u", (*said)++ ? "," : "tokens: ", event->token);
    return true;
}

int main(int argc, char **argv) {
    if (argc != 3) return complain("usage", "host LIBRARY MODEL");
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) return complain("dlopen", dlerror());
    LOOK_UP(siskin_version);
    LOOK_UP(siskin_abi_version);
    LOOK_UP(siskin_model_open_fd);
    LOOK_UP(siskin_model_free);
    LOOK_UP(siskin_session_new);
    LOOK_UP(siskin_session_free);
    LOOK_UP(siskin_generate_options_init);
    LOOK_UP(siskin_job_new);
    LOOK_UP(siskin_job_run);
    LOOK_UP(siskin_job_free);
    LOOK_UP(siskin_error_message);
    printf("version %s, abi %u\n", siskin_version_(), siskin_abi_version_());
    if (siskin_abi_version_() != SISKIN_ABI_VERSION) return complain("abi", "not that of the header");

    int fd = open(argv[2], O_RDONLY);
    struct stat size;
    if (fd < 0 || fstat(fd, &size)) return complain(argv[2], "cannot be opened");
    siskin_model *model = NULL;
    siskin_session *session = NULL;
    siskin_job *job = NULL;
    siskin_error *error = NULL;
    const uint64_t before = 4097; /* as the asset lies in an APK: at an odd offset, with something behind it */
    siskin_prompt prompt = {0};
    prompt.size = sizeof prompt;
    prompt.text = "The capital of France is";
    prompt.text_len = strlen(prompt.text);
    siskin_generate_options options = {0};
    options.size = sizeof options;
    if (siskin_generate_options_init_(&options)) return complain("siskin_generate_options_init", "failed");
    options.temperature = 0;
    options.limit_tokens = 1;
    options.max_tokens = 8;
    int said = 0;
    siskin_result result = siskin_model_open_fd_(fd, before, (uint64_t)size.st_size - before - 7, NULL, &model, &error);
    close(fd);
    if (!result) result = siskin_session_new_(model, NULL, &session, &error);
    if (!result) result = siskin_job_new_(session, &prompt, &options, &job, &error);
    if (!result) result = siskin_job_run_(job, on_event, &said, NULL, &error);
    printf("\n");
    if (result) {
        size_t length = 0;
        const char *message = "no message";
        if (siskin_error_message_(error, &message, &length)) length = strlen(message);
        fprintf(stderr, "failed with %u: %.*s\n", (unsigned)result, (int)length, message);
        return 1;
    }
    siskin_job_free_(job);
    siskin_session_free_(session);
    siskin_model_free_(model);
    return 0;
}
