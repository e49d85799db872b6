/* Opening from everywhere, asking a model, tokens and text, errors that say where. */
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

static unsigned released;

static void on_release(void *userdata) {
    CHECK(userdata == (void *)&released);
    released++;
}

static bool text_is(siskin_text *text, const char *want) {
    const char *data = NULL;
    size_t len = 0;
    const bool same = WORKS(siskin_text_data(text, &data, &len)) && len == strlen(want) && memcmp(data, want, len) == 0;
    if (!same) {
        printf("%.*s instead of %s\n", (int)len, data, want);
    }
    WORKS(siskin_text_free(text));
    return same;
}

/* The file, `before` bytes into a buffer of the caller's. */
static unsigned char *whole_file(size_t before, size_t *len) {
    FILE *file = fopen(model_path, "rb");
    unsigned char *bytes;
    long size;
    if (file == NULL) {
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    *len = (size_t)size;
    bytes = (unsigned char *)malloc(before + *len);
    if (bytes == NULL || fread(bytes + before, 1, *len, file) != *len) {
        exit(1);
    }
    fclose(file);
    return bytes;
}

static void check_speaks(siskin_model *model) {
    siskin_session *session = new_session(model);
    siskin_job *job = new_job(session, "hello", SCRIPT_TOKENS);
    said s;
    memset(&s, 0, sizeof s);
    WORKS(siskin_model_free(model)); /* sessions keep what they need */
    WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
    CHECK(strcmp(s.text, SCRIPT_TEXT) == 0);
    WORKS(siskin_job_free(job));
    WORKS(siskin_session_free(session));
}

static void opening(void) {
    siskin_model *model = NULL;
    size_t len = 0;
    unsigned char *bytes = whole_file(13, &len);
    char name[] = "/tmp/siskin-test-XXXXXX";
    const int fd = mkstemp(name);
    CHECK(fd >= 0 && unlink(name) == 0);
    memset(bytes, 0x5A, 13);
    CHECK(write(fd, bytes, len + 13) == (ssize_t)(len + 13));
    /* An asset: not at the start of the file, at an odd offset. The descriptor is not needed any more afterwards. */
    if (WORKS(siskin_model_open_fd(fd, 13, len, NULL, &model, NULL))) {
        close(fd);
        check_speaks(model);
    }
    GIVES(SISKIN_RESULT_IO, siskin_model_open_fd(fd, 13, len, NULL, &model, NULL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_open_fd(-1, 0, len, NULL, &model, NULL));
    /* Copied; lent; lent for nothing. */
    if (WORKS(siskin_model_open_bytes(bytes + 13, len, NULL, NULL, NULL, &model, NULL))) {
        check_speaks(model);
    }
    if (WORKS(siskin_model_open_bytes(bytes + 13, len, on_release, &released, NULL, &model, NULL))) {
        CHECK(released == 0);
        check_speaks(model);
        CHECK(released == 1);
    }
    GIVES(SISKIN_RESULT_FORMAT, siskin_model_open_bytes(bytes, len, on_release, &released, NULL, &model, NULL));
    CHECK(released == 2);
    free(bytes);
}

static unsigned messages, logs_released;

static void on_log(void *userdata, uint32_t level, const char *message, size_t len) {
    CHECK(userdata == (void *)&messages && level >= 1 && level <= 4 && valid_utf8(message, len));
    CHECK(!contains(message, len, "hello"));
    messages++;
}

static void on_log_release(void *userdata) {
    CHECK(userdata == (void *)&messages);
    logs_released++;
}

static void logging(void) {
    siskin_model *model = NULL;
    SIZED(siskin_model_options, options);
    WORKS(siskin_model_options_init(&options));
    options.log = on_log;
    options.log_userdata = &messages;
    options.log_release = on_log_release;
    WORKS(siskin_model_open_path(model_path, strlen(model_path), &options, &model, NULL));
    CHECK(messages > 0);
    check_speaks(model);
    CHECK(messages > 1 && logs_released == 1);
    options.log_level = 9;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_open_path(model_path, strlen(model_path), &options, &model, NULL));
    CHECK(logs_released == 2);
}

static void errors(void) {
    const char *path = "/nowhere/\xC3\xBC.gguf", *data = NULL;
    siskin_model *model = NULL;
    siskin_error *error = NULL;
    siskin_text *line = NULL;
    size_t len = 0;
    uint32_t result = 0;
    uint64_t offset = 0;
    bool known = true;
    unsigned char broken[64] = "GGUF\3";
    GIVES(SISKIN_RESULT_IO, siskin_model_open_path(path, strlen(path), NULL, &model, &error));
    CHECK(model == NULL); /* written on success only */
    WORKS(siskin_error_result(error, &result));
    CHECK(result == SISKIN_RESULT_IO);
    WORKS(siskin_error_file(error, &data, &len));
    CHECK(len == strlen(path) && memcmp(data, path, len) == 0);
    WORKS(siskin_error_message(error, &data, &len));
    CHECK(len > 0 && valid_utf8(data, len));
    WORKS(siskin_error_key(error, &data, &len));
    CHECK(data == NULL && len == 0);
    WORKS(siskin_error_tensor(error, &data, &len));
    CHECK(data == NULL && len == 0);
    WORKS(siskin_error_offset(error, &offset, &known));
    CHECK(!known);
    WORKS(siskin_error_describe(error, &line));
    WORKS(siskin_text_data(line, &data, &len));
    CHECK(contains(data, len, path));
    WORKS(siskin_text_free(line));
    WORKS(siskin_error_free(error));

    memset(broken + 8, 0xFF, sizeof broken - 8);
    error = NULL;
    CHECK(siskin_model_open_bytes(broken, sizeof broken, NULL, NULL, NULL, &model, &error) != SISKIN_RESULT_OK);
    WORKS(siskin_error_offset(error, &offset, &known));
    CHECK(known && offset <= sizeof broken);
    WORKS(siskin_error_free(error));
}

void test_reading(void) {
    siskin_model *model = open_model();
    siskin_session *session = new_session(model);
    SIZED(siskin_model_info, info);
    SIZED(siskin_fit, fit);
    SIZED(siskin_fit, of_session);
    siskin_text *text = NULL;
    siskin_tokens *tokens = NULL;
    siskin_error *error = NULL;
    const uint32_t *ids = NULL;
    size_t len = 0, count = 0, i;
    uint32_t token = 0, nonsense = 1000000;
    bool ends = false, found = false;
    float *logits;

    opening();
    logging();
    errors();

    WORKS(siskin_model_get_info(model, &info));
    CHECK(info.layers == 1 && info.width == 128 && info.vocab == 302 && info.has_chat_template == 1 && info.threads == 2);
    CHECK(info.context == 8192 && info.weight_bytes > 100000 && info.parameters * 4 == info.weight_bytes && strlen(info.kernels) > 0);
    WORKS(siskin_model_get_fit(model, NULL, &fit, NULL));
    WORKS(siskin_session_get_fit(session, &of_session));
    CHECK(fit.context == 4096 && fit.dirty == fit.kv_cache + fit.buffers + fit.tables && fit.peak == fit.dirty + fit.mapped);
    CHECK(memcmp(&fit, &of_session, sizeof fit) == 0);

    WORKS(siskin_model_metadata_count(model, &count));
    for (i = 0; i < count; i++) {
        const char *key = NULL;
        siskin_text *value = NULL;
        WORKS(siskin_model_metadata_key(model, i, &text, NULL));
        WORKS(siskin_text_data(text, &key, &len));
        WORKS(siskin_model_metadata_value(model, key, len, &value, NULL));
        found = found || (len == 12 && memcmp(key, "general.name", 12) == 0 && text_is(value, "\"A script for tests\""));
        siskin_text_free(value);
        WORKS(siskin_text_free(text));
    }
    CHECK(found);
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_metadata_key(model, count, &text, NULL));
    GIVES(SISKIN_RESULT_MISSING, siskin_model_metadata_value(model, "no.key", 6, &text, NULL));

    WORKS(siskin_model_tokenize(model, "<s>\xF0\x9F\x90\xA6", 7, false, true, &tokens, NULL));
    WORKS(siskin_tokens_data(tokens, &ids, &len));
    CHECK(len >= 5 && ids[0] == 1);
    WORKS(siskin_model_detokenize(model, ids + 1, len - 1, false, &text, NULL));
    CHECK(text_is(text, "\xF0\x9F\x90\xA6"));
    /* Not the last byte of the emoji: U+FFFD. */
    WORKS(siskin_model_detokenize(model, ids + 1, len - 2, false, &text, NULL));
    CHECK(text_is(text, "\xEF\xBF\xBD"));
    WORKS(siskin_tokens_free(tokens));
    WORKS(siskin_model_detokenize(model, script_tokens, SCRIPT_TOKENS, true, &text, NULL));
    siskin_text_free(text);
    GIVES(SISKIN_RESULT_TOKENIZER, siskin_model_detokenize(model, &nonsense, 1, false, &text, NULL));
    WORKS(siskin_model_token_text(model, 2, &text, NULL));
    CHECK(text_is(text, "</s>"));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_token_text(model, nonsense, &text, NULL));
    WORKS(siskin_model_begin_token(model, &token));
    CHECK(token == 1);
    WORKS(siskin_model_end_token(model, &token));
    CHECK(token == 2);
    WORKS(siskin_model_ends_turn(model, 2, &ends));
    CHECK(ends);
    WORKS(siskin_model_ends_turn(model, 3, &ends));
    CHECK(!ends);
    WORKS(siskin_model_chat_template(model, &text, NULL));
    WORKS(siskin_text_free(text));

    WORKS(siskin_session_logits(session, NULL, 0, &len, NULL));
    CHECK(len == 0);
    check_speaks(open_model());
    {
        siskin_job *job = new_job(session, "hello", 2);
        said s;
        memset(&s, 0, sizeof s);
        WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
        WORKS(siskin_job_free(job));
    }
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_session_logits(session, NULL, 0, &len, &error));
    WORKS(siskin_error_free(error));
    CHECK(len == 302);
    logits = (float *)malloc(len * sizeof *logits);
    WORKS(siskin_session_logits(session, logits, len, &len, NULL));
    CHECK(logits[script_tokens[1]] > 5.0F);
    free(logits);
    WORKS(siskin_session_tokens(session, &tokens, NULL));
    WORKS(siskin_tokens_data(tokens, &ids, &len));
    WORKS(siskin_session_position(session, &count));
    CHECK(len == count && ids[len - 1] == script_tokens[0]);
    WORKS(siskin_tokens_free(tokens));
    WORKS(siskin_session_truncate(session, 1, &count));
    CHECK(count == 1);

    WORKS(siskin_model_set_thermal(model, SISKIN_THERMAL_CRITICAL));
    WORKS(siskin_model_set_thermal(model, SISKIN_THERMAL_NOMINAL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_set_thermal(model, 17));
    WORKS(siskin_model_relieve(model, SISKIN_PRESSURE_CRITICAL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_relieve(model, 17));
    CHECK(strcmp(siskin_result_name(SISKIN_RESULT_BUSY), "SISKIN_RESULT_BUSY") == 0 && strcmp(siskin_result_name(7), "unknown") == 0);
    WORKS(siskin_session_free(session));
    WORKS(siskin_model_free(model));
}
