/* Fill in the middle, moderation, and what a model is for. The script model has the tokens; after any prompt it says the
 * script, and "yes" with a probability of 1 / (1 + exp(-0.1 sqrt(128))). */
#include "check.h"

static void fills_in(const siskin_model *model) {
    siskin_session *session = new_session(model);
    siskin_job *job = NULL;
    siskin_fim_file files[2];
    char *longest = (char *)malloc(9000);
    said s;
    bool able = false;
    SIZED(siskin_fim_request, request);
    SIZED(siskin_fim_cut, cut);
    SIZED(siskin_generate_options, options);

    WORKS(siskin_model_fills_in(model, &able));
    CHECK(able);
    WORKS(siskin_generate_options_init(&options));
    options.temperature = 0;
    memset(files, 0, sizeof files);
    files[0].size = files[1].size = (uint32_t)sizeof files[0];
    files[0].path = files[1].path = "a.c";
    files[0].path_len = files[1].path_len = 3;
    files[0].text = files[1].text = "x";
    files[0].text_len = files[1].text_len = 1;
    request.prefix = "int main";
    request.prefix_len = 8;
    request.suffix = "return";
    request.suffix_len = 6;
    request.files = files;
    request.file_count = 2;
    WORKS(siskin_job_new_fim(session, &request, &options, &cut, &job, NULL));
    CHECK(cut.prefix_tokens == 0 && cut.suffix_tokens == 0 && cut.files == 0);
    memset(&s, 0, sizeof s);
    WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
    CHECK(s.text_len == strlen(SCRIPT_TEXT) && memcmp(s.text, SCRIPT_TEXT, s.text_len) == 0 && s.token_count == SCRIPT_TOKENS);
    WORKS(siskin_job_free(job));

    /* More than there is room for: the far end goes. Pulled, and cancelled before it starts. */
    memset(longest, 'a', 9000);
    request.prefix = longest;
    request.prefix_len = 9000;
    WORKS(siskin_job_new_fim(session, &request, NULL, &cut, &job, NULL));
    CHECK(cut.prefix_tokens > 4000 && cut.suffix_tokens == 0 && cut.files == 2);
    WORKS(siskin_job_cancel(job));
    memset(&s, 0, sizeof s);
    WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
    CHECK(s.reason == SISKIN_STOP_CANCELLED && s.token_count == 0);
    WORKS(siskin_job_free(job));

    files[1].size = 8;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_job_new_fim(session, &request, NULL, NULL, &job, NULL));
    files[1].size = files[0].size;
    files[1].reserved = 1;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_job_new_fim(session, &request, NULL, NULL, &job, NULL));
    request.file_count = 0;
    request.reserved = 1;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_job_new_fim(session, &request, NULL, NULL, &job, NULL));
    request.reserved = 0;
    request.suffix = "\xFF";
    request.suffix_len = 1;
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_job_new_fim(session, &request, NULL, NULL, &job, NULL));
    free(longest);
    WORKS(siskin_session_free(session));

    /* A model that was not trained for it says so. */
    {
        siskin_model *other = open_seeing_model();
        siskin_error *error = NULL;
        const char *message = NULL;
        size_t len = 0;
        WORKS(siskin_model_fills_in(other, &able));
        CHECK(!able);
        session = new_session(other);
        request.prefix = "a";
        request.prefix_len = 1;
        request.suffix = "";
        request.suffix_len = 0;
        GIVES(SISKIN_RESULT_UNSUPPORTED, siskin_job_new_fim(session, &request, NULL, NULL, &job, &error));
        WORKS(siskin_error_message(error, &message, &len));
        CHECK(contains(message, len, "not trained to fill in the middle"));
        WORKS(siskin_error_free(error));
        WORKS(siskin_session_free(session));
        WORKS(siskin_model_free(other));
    }
}

static void moderates(siskin_model *model) {
    siskin_moderator *moderator = NULL;
    siskin_policy policies[2];
    double got[3];
    SIZED(siskin_moderate_options, options);

    GIVES(SISKIN_RESULT_UNSUPPORTED, siskin_moderator_new(model, NULL, &moderator, NULL));
    WORKS(siskin_moderate_options_init(&options));
    CHECK(options.any_model == 0);
    options.any_model = 1;
    WORKS(siskin_moderator_new(model, &options, &moderator, NULL));
    memset(policies, 0, sizeof policies);
    policies[0].size = policies[1].size = (uint32_t)sizeof policies[0];
    policies[0].name = "harassment";
    policies[0].name_len = 10;
    policies[1].name = "mine";
    policies[1].name_len = 4;
    policies[1].guideline = "No shouting.";
    policies[1].guideline_len = 12;
    got[0] = got[1] = got[2] = -9;
    WORKS(siskin_moderator_moderate(moderator, "hello", 5, NULL, 0, policies, 2, got, NULL));
    CHECK(got[0] > 0.7560 && got[0] < 0.7562 && got[1] > 0.7560 && got[1] < 0.7562 && got[2] == -9);
    WORKS(siskin_moderator_moderate(moderator, "hello", 5, "hi", 2, policies, 1, got + 2, NULL));
    CHECK(got[2] > 0.7560 && got[2] < 0.7562);
    got[0] = -9;
    policies[1].guideline = NULL;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_moderator_moderate(moderator, "hello", 5, NULL, 0, policies, 2, got, NULL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_moderator_moderate(moderator, "hello", 5, NULL, 0, policies, 0, got, NULL));
    policies[1].size = 4;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_moderator_moderate(moderator, "hello", 5, NULL, 0, policies, 2, got, NULL));
    CHECK(got[0] == -9);
    WORKS(siskin_moderator_cancel(moderator)); /* nothing runs */
    WORKS(siskin_moderator_moderate(moderator, "hello", 5, NULL, 0, policies, 1, got, NULL));
    WORKS(siskin_moderator_free(moderator));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_moderator_cancel(moderator));
    options.any_model = 2;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_moderator_new(model, &options, &moderator, NULL));
}

void test_ask(void) {
    siskin_model *model = open_model(), *other = NULL;
    SIZED(siskin_model_info, info);
    SIZED(siskin_model_options, options);
    WORKS(siskin_model_get_info(model, &info));
    CHECK(info.generates == 1 && info.pooling == 0);
    fills_in(model);
    moderates(model);
    WORKS(siskin_model_free(model));

    WORKS(siskin_model_options_init(&options));
    CHECK(options.experts == SISKIN_EXPERTS_AUTO);
    options.experts = SISKIN_EXPERTS_STREAM;
    WORKS(siskin_model_open_path(model_path, strlen(model_path), &options, &other, NULL));
    WORKS(siskin_model_free(other));
    options.experts = 3;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_open_path(model_path, strlen(model_path), &options, &other, NULL));
}
