/*
 * Siskin: answers from a model file, on this device. Version @VERSION@, interface @ABI@.
 *
 * Made by cbindgen from ffi/src; `cargo xtask header` makes it anew. Do not edit.
 *
 *     siskin_model *model = NULL;
 *     siskin_error *error = NULL;
 *     if (siskin_model_open_path(path, strlen(path), NULL, &model, &error)) return fail(error);
 *
 *     siskin_session *session = NULL;
 *     if (siskin_session_new(model, NULL, &session, &error)) return fail(error);
 *
 *     siskin_message message = {0};
 *     message.size = sizeof message;
 *     message.role = "user";                  message.role_len = 4;
 *     message.content = "What is a finch?";   message.content_len = 16;
 *     siskin_chat chat = {0};
 *     chat.size = sizeof chat;
 *     chat.add_generation_prompt = 1;
 *     chat.messages = &message;               chat.message_count = 1;
 *     siskin_prompt prompt = {0};
 *     prompt.size = sizeof prompt;
 *     prompt.chat = &chat;
 *
 *     siskin_job *job = NULL;
 *     if (siskin_job_new(session, &prompt, NULL, &job, &error)) return fail(error);
 *     if (siskin_job_run(job, on_event, NULL, NULL, &error)) return fail(error);  // on_event prints SISKIN_EVENT_TEXT
 *
 *     siskin_job_free(job);  siskin_session_free(session);  siskin_model_free(model);
 *
 * Rules that hold everywhere:
 * - A call that can fail returns a siskin_result, 0 if it worked. Outputs come last and are written only on success. If
 *   `out_error` is not NULL, a failure writes an error there, which the caller frees (NULL if there are too many handles);
 *   nothing is kept per thread.
 * - Objects are handles. A handle that was freed, is of another kind or never was one gives SISKIN_RESULT_INVALID_HANDLE.
 *   Freeing takes NULL, and never waits for a computation.
 * - A `const` first argument may be used from several threads at once; otherwise one thread at a time.
 * - Strings are UTF-8 with a length, not terminated by NUL, and are read during the call only.
 * - Your functions that the library calls must return: no exception and no longjmp may leave them.
 * - Structs begin with their size: set it, or start from `= {0}` and the _init function. Flags in structs are 0 or 1.
 */
