/* Structs of other sizes than the library's, text that is not UTF-8, values that make no sense. */
#include "check.h"

#define TOO_SMALL 3U

/* As the options of a caller that was compiled with a newer header. */
typedef struct newer {
    siskin_session_options known;
    uint64_t unknown[4];
} newer;

void test_sizes(void) {
    siskin_model *model = open_model();
    siskin_session *session = new_session(model), *other = NULL;
    siskin_job *job = NULL;
    siskin_text *text = NULL;
    siskin_tokens *tokens = NULL;
    newer n;
    siskin_message messages[2];
    size_t i;
    uint64_t kv_cache;
    SIZED(siskin_model_options, model_options);
    SIZED(siskin_session_options, session_options);
    SIZED(siskin_generate_options, generate_options);
    SIZED(siskin_prompt, prompt);
    SIZED(siskin_chat, chat);
    SIZED(siskin_model_info, info);
    SIZED(siskin_fit, fit);
    said s;

    /* Too small for a size. */
    model_options.size = session_options.size = generate_options.size = prompt.size = chat.size = info.size = fit.size = TOO_SMALL;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_model_options_init(&model_options));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_session_options_init(&session_options));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_generate_options_init(&generate_options));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_session_new(model, &session_options, &other, NULL));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_model_get_info(model, &info));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_model_get_fit(model, NULL, &fit, NULL));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_session_get_fit(session, &fit));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_job_new(session, &prompt, NULL, &job, NULL));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_model_render(model, &chat, &text, NULL));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_model_open_path(model_path, strlen(model_path), &model_options, &model, NULL));

    /* An older caller: what it does not know is as by default, and is not written. */
    memset(&info, 0xEE, sizeof info);
    info.size = 12;
    WORKS(siskin_model_get_info(model, &info));
    CHECK(info.threads == 2 && info.layers == 1 && info.width == 0xEEEEEEEEU && info.size == 12);
    session_options.size = 8;
    session_options.kv_type = SISKIN_KV_F16;
    session_options.context = 99; /* beyond the size: not looked at */
    WORKS(siskin_session_new(model, &session_options, &other, NULL));
    fit.size = (uint32_t)sizeof fit;
    WORKS(siskin_session_get_fit(other, &fit));
    CHECK(fit.context == 4096);
    WORKS(siskin_session_free(other));

    /* A newer one: fine as long as it does not ask for what the library does not know. */
    memset(&n, 0, sizeof n);
    n.known.size = (uint32_t)sizeof n;
    WORKS(siskin_session_options_init(&n.known));
    CHECK(n.known.size == sizeof n);
    WORKS(siskin_session_new(model, &n.known, &other, NULL));
    WORKS(siskin_session_free(other));
    n.unknown[2] = 1;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_session_new(model, &n.known, &other, NULL));

    /* Messages that do not agree on their size; none at all. */
    memset(messages, 0, sizeof messages);
    chat.size = (uint32_t)sizeof chat;
    chat.messages = messages;
    chat.message_count = 2;
    for (i = 0; i < 2; i++) {
        messages[i].size = (uint32_t)sizeof messages[i];
        messages[i].role = "user";
        messages[i].role_len = 4;
    }
    WORKS(siskin_model_render(model, &chat, &text, NULL));
    WORKS(siskin_text_free(text));
    messages[1].size = 8;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_model_render(model, &chat, &text, NULL));
    messages[0].size = 0;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_model_render(model, &chat, &text, NULL));
    messages[0].size = messages[1].size = (uint32_t)sizeof messages[0];
    chat.messages = NULL;
    GIVES(SISKIN_RESULT_NULL_POINTER, siskin_model_render(model, &chat, &text, NULL));
    chat.messages = messages;
    chat.add_generation_prompt = 2;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_render(model, &chat, &text, NULL));
    chat.add_generation_prompt = 1;

    /* Not UTF-8, wherever text goes in. */
    messages[1].content = "\xF0\x9F";
    messages[1].content_len = 2;
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_model_render(model, &chat, &text, NULL));
    messages[1].content = "";
    messages[1].content_len = 0;
    messages[1].role = "\xFF";
    messages[1].role_len = 1;
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_model_render(model, &chat, &text, NULL));
    messages[1].role = "user";
    messages[1].role_len = 4;
    messages[1].fields_json = "[1]";
    messages[1].fields_json_len = 3;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_render(model, &chat, &text, NULL));
    messages[1].fields_json = NULL;
    chat.tools_json = "{";
    chat.tools_json_len = 1;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_model_render(model, &chat, &text, NULL));
    chat.tools_json = NULL;
    chat.variables_json = "\xC3";
    chat.variables_json_len = 1;
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_model_render(model, &chat, &text, NULL));
    chat.variables_json = NULL;
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_model_open_path("\xFF", 1, NULL, &model, NULL));
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_model_tokenize(model, "a\x80", 2, false, false, &tokens, NULL));
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_model_metadata_value(model, "\x80", 1, &text, NULL));
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_job_new(session, (prompt.size = (uint32_t)sizeof prompt, prompt.text = "\xED\xA0\x80", prompt.text_len = 3, &prompt), NULL, &job, NULL));

    /* A prompt of nothing, of two things; options that make no sense. */
    prompt.text = NULL;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_new(session, &prompt, NULL, &job, NULL));
    prompt.chat = &chat;
    prompt.text = "x";
    prompt.text_len = 1;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_new(session, &prompt, NULL, &job, NULL));
    prompt.chat = NULL;
    generate_options.size = (uint32_t)sizeof generate_options;
    WORKS(siskin_generate_options_init(&generate_options));
    generate_options.temperature = -1;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_new(session, &prompt, &generate_options, &job, NULL));
    WORKS(siskin_generate_options_init(&generate_options));
    generate_options.limit_tokens = 77;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_new(session, &prompt, &generate_options, &job, NULL));
    WORKS(siskin_generate_options_init(&generate_options));
    generate_options.stop_count = 1;
    GIVES(SISKIN_RESULT_NULL_POINTER, siskin_job_new(session, &prompt, &generate_options, &job, NULL));
    generate_options.stop_count = 0;
    generate_options.bias_count = SIZE_MAX;
    generate_options.bias_tokens = script_tokens;
    generate_options.bias_values = (const float *)(const void *)script_tokens;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_new(session, &prompt, &generate_options, &job, NULL));
    WORKS(siskin_session_options_init((session_options.size = (uint32_t)sizeof session_options, &session_options)));
    session_options.context = UINT64_MAX;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_session_new(model, &session_options, &other, NULL));
    session_options.context = 16;
    session_options.kv_type = 99;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_session_new(model, &session_options, &other, NULL));

    /* Keys and values of another kind take another size. */
    session_options.context = 512;
    session_options.kv_type = SISKIN_KV_F16;
    WORKS(siskin_session_new(model, &session_options, &other, NULL));
    WORKS(siskin_session_get_fit(other, &fit));
    WORKS(siskin_session_free(other));
    kv_cache = fit.kv_cache;
    session_options.kv_type = SISKIN_KV_Q8;
    WORKS(siskin_session_new(model, &session_options, &other, NULL));
    WORKS(siskin_session_get_fit(other, &fit));
    CHECK(fit.kv_cache != kv_cache);
    WORKS(siskin_session_free(other));

    /* More than the context holds. */
    session_options.kv_type = SISKIN_KV_F32;
    session_options.context = 8;
    WORKS(siskin_session_new(model, &session_options, &other, NULL));
    job = new_job(other, "more letters than there is room for", 3);
    memset(&s, 0, sizeof s);
    GIVES(SISKIN_RESULT_CONTEXT_FULL, siskin_job_run(job, on_event, &s, NULL, NULL));
    CHECK(s.dones == 0 && s.token_count == 0);
    WORKS(siskin_job_free(job));
    WORKS(siskin_session_free(other));
    WORKS(siskin_session_free(session));
    WORKS(siskin_model_free(model));
}
