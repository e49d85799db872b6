/* Freed twice, used after being freed, of the wrong kind, garbage: an error each time. What every function says to NULL, to a
 * wrong and to a freed handle is in the table that null_table.py makes. */
#include "check.h"

void test_handles(void) {
    siskin_model *model = open_model();
    siskin_session *session = new_session(model);
    siskin_job *job = new_job(session, "hello", 3);
    siskin_text *text = NULL;
    siskin_tokens *tokens = NULL;
    siskin_error *error = NULL;
    const char *data = NULL;
    const uintptr_t garbage[6] = {1, 8, 0xDEADBEEF, UINTPTR_MAX, UINTPTR_MAX / 3, (uintptr_t)&data};
    size_t i, len = 0;

    WORKS(siskin_model_chat_template(model, &text, NULL));
    WORKS(siskin_model_tokenize(model, "a", 1, false, false, &tokens, NULL));
    GIVES(SISKIN_RESULT_MISSING, siskin_model_metadata_value(model, "x", 1, &text, &error));

    /* Each kind for each other. */
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_model_free((siskin_model *)session));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_session_free((siskin_session *)job));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_job_free((siskin_job *)text));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_text_free((siskin_text *)tokens));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_tokens_free((siskin_tokens *)error));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_error_free((siskin_error *)model));
    for (i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_model_free((siskin_model *)garbage[i]));
        GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_session_free((siskin_session *)garbage[i]));
        GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_job_free((siskin_job *)garbage[i]));
        GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_job_cancel((siskin_job *)garbage[i]));
        GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_text_data((siskin_text *)garbage[i], &data, &len));
    }

    /* Twice. */
    WORKS(siskin_job_free(job));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_job_free(job));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_job_cancel(job));
    WORKS(siskin_session_free(session));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_session_free(session));
    WORKS(siskin_model_free(model));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_model_free(model));
    WORKS(siskin_text_free(text));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_text_free(text));
    WORKS(siskin_tokens_free(tokens));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_tokens_free(tokens));
    WORKS(siskin_error_free(error));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_error_free(error));

    /* A freed handle stays freed when its place is used again, thousands of times. */
    for (i = 0; i < (slack > 1 ? 500 : 10000); i++) {
        siskin_model *other = NULL;
        siskin_error *again = NULL;
        if (siskin_model_open_path("", 0, NULL, &other, &again) == SISKIN_RESULT_OK || again == error ||
            siskin_error_free(error) != SISKIN_RESULT_INVALID_HANDLE || siskin_error_free(again) != SISKIN_RESULT_OK) {
            FAIL("a freed handle came back");
            break;
        }
    }

    /* Freed while others use what it stood for: nothing is lost. */
    model = open_model();
    session = new_session(model);
    job = new_job(session, "hello", SCRIPT_TOKENS);
    WORKS(siskin_model_free(model));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_session_new(model, NULL, &session, NULL));
    {
        said s;
        memset(&s, 0, sizeof s);
        WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
        CHECK(strcmp(s.text, SCRIPT_TEXT) == 0);
    }
    WORKS(siskin_session_free(session));
    WORKS(siskin_job_free(job));

    /* A job of a session that is gone. */
    model = open_model();
    session = new_session(model);
    job = new_job(session, "hello", SCRIPT_TOKENS);
    WORKS(siskin_session_free(session));
    {
        said s;
        memset(&s, 0, sizeof s);
        GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_run(job, on_event, &s, NULL, NULL));
    }
    WORKS(siskin_job_free(job));
    WORKS(siskin_model_free(model));
}
