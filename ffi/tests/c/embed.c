/* Texts to vectors. The script model was not made for that, but its states are known: after the last norm the one of a token
 * points along a single axis, for whatever is not part of the script along the 15th. */
#include "check.h"

#define WIDTH 128

void test_embed(void) {
    siskin_model *model = open_model();
    siskin_embedder *embedder = NULL;
    siskin_error *error = NULL;
    const char *message = NULL;
    char *longest = NULL;
    float values[WIDTH + 1];
    size_t i, len = 0, dimensions = 0;
    SIZED(siskin_embed_options, options);

    /* The file does not say how; then it must be named. */
    GIVES(SISKIN_RESULT_UNSUPPORTED, siskin_embedder_new(model, NULL, &embedder, &error));
    WORKS(siskin_error_message(error, &message, &len));
    CHECK(contains(message, len, "pooling") && embedder == NULL);
    WORKS(siskin_error_free(error));
    WORKS(siskin_embed_options_init(&options));
    CHECK(options.pooling == SISKIN_POOLING_MODEL && options.normalize == 1 && options.truncate == 0 && options.dimensions == 0);
    options.pooling = SISKIN_POOLING_LAST;
    WORKS(siskin_embedder_new(model, &options, &embedder, NULL));
    WORKS(siskin_embedder_dimensions(embedder, &dimensions));
    CHECK(dimensions == WIDTH);

    /* As many numbers as there are dimensions, and not one more. */
    for (i = 0; i <= WIDTH; i++) {
        values[i] = -9;
    }
    WORKS(siskin_embedder_embed(embedder, "hello", 5, values, WIDTH + 1, NULL));
    for (i = 0; i < WIDTH; i++) {
        if (values[i] != (i == 14 ? 1.0F : 0.0F)) {
            FAIL("a number of the vector");
        }
    }
    CHECK(values[WIDTH] == -9);
    values[0] = -9;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_embedder_embed(embedder, "hello", 5, values, WIDTH - 1, NULL));
    GIVES(SISKIN_RESULT_INVALID_UTF8, siskin_embedder_embed(embedder, "\xFF", 1, values, WIDTH, NULL));
    CHECK(values[0] == -9);

    /* Nothing runs: there is nothing to cancel, and the next call is not touched. */
    WORKS(siskin_embedder_cancel(embedder));
    WORKS(siskin_embedder_embed(embedder, "hello", 5, values, WIDTH, NULL));

    /* Longer than the model was trained for (8192). */
    len = 9000;
    longest = (char *)malloc(len);
    memset(longest, 'a', len);
    GIVES(SISKIN_RESULT_CONTEXT_FULL, siskin_embedder_embed(embedder, longest, len, values, WIDTH, NULL));
    free(longest);
    WORKS(siskin_embedder_free(embedder));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_embedder_embed(embedder, "x", 1, values, WIDTH, NULL));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_embedder_cancel(embedder));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_embedder_free(embedder));

    /* Shorter vectors, of their own length; the embedder outlives the model. */
    options.dimensions = 15;
    options.normalize = 0;
    WORKS(siskin_embedder_new(model, &options, &embedder, NULL));
    WORKS(siskin_model_free(model));
    WORKS(siskin_embedder_dimensions(embedder, &dimensions));
    WORKS(siskin_embedder_embed(embedder, "hello", 5, values, dimensions, NULL));
    CHECK(dimensions == 15 && values[13] == 0 && values[14] > 11.3F && values[14] < 11.4F); /* the root of 128 */
    WORKS(siskin_embedder_free(embedder));

    /* Options that make no sense. */
    model = open_model();
    options.dimensions = WIDTH + 1;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_embedder_new(model, &options, &embedder, NULL));
    options.dimensions = 0;
    options.pooling = 4;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_embedder_new(model, &options, &embedder, NULL));
    options.pooling = SISKIN_POOLING_MEAN;
    options.normalize = 2;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_embedder_new(model, &options, &embedder, NULL));
    options.normalize = 1;
    options.kv_type = 0;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_embedder_new(model, &options, &embedder, NULL));
    options.kv_type = SISKIN_KV_F16;
    options.reserved = 1;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_embedder_new(model, &options, &embedder, NULL));
    options.reserved = 0;
    options.size = 3;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_embedder_new(model, &options, &embedder, NULL));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_embed_options_init(&options));
    WORKS(siskin_model_free(model));
}
