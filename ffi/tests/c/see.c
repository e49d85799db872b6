/* Pictures in prompts, with the model of `cargo xtask seeing-model`, whose folder lies beside the script model. It has a file
 * of the answers that the library itself gives. */
#include "check.h"

#define MAX_FILE 65536
#define WIDTH 64
#define HEIGHT 48

typedef struct file {
    unsigned char bytes[MAX_FILE];
    size_t len;
} file;

static char seeing_path[4096];

/* The path of a file in the folder, valid until the next call. */
static const char *in_folder(const char *name) {
    const char *slash = strrchr(model_path, '/');
    const int folder = slash == NULL ? 0 : (int)(slash - model_path + 1);
    snprintf(seeing_path, sizeof seeing_path, "%.*sseeing/%s", folder, model_path, name);
    return seeing_path;
}

static void read_file(const char *name, file *out) {
    FILE *from = fopen(in_folder(name), "rb");
    if (from == NULL) {
        printf("%s is not here (cargo xtask seeing-model)\n", seeing_path);
        exit(1);
    }
    out->len = fread(out->bytes, 1, sizeof out->bytes, from);
    fclose(from);
}

siskin_model *open_seeing_model(void) {
    siskin_model *model = NULL;
    const char *path = in_folder("model.gguf");
    if (!WORKS(siskin_model_open_path(path, strlen(path), NULL, &model, NULL))) {
        exit(1);
    }
    return model;
}

siskin_vision *open_vision(const siskin_model *model) {
    siskin_vision *vision = NULL;
    const char *path = in_folder("mmproj.gguf");
    WORKS(siskin_vision_open_path(model, path, strlen(path), &vision, NULL));
    return vision;
}

/* Whether a line of answers.txt has this name and these tokens. */
static bool is_answer(const char *name, const said *s) {
    static file answers;
    char line[512];
    size_t i, len = (size_t)snprintf(line, sizeof line, "%s ", name);
    for (i = 0; i < s->token_count && i < 32; i++) {
        len += (size_t)snprintf(line + len, sizeof line - len, "%s%u", i == 0 ? "" : ",", (unsigned)s->tokens[i]);
    }
    read_file("answers.txt", &answers);
    snprintf(line + len, sizeof line - len, "\n");
    return contains((const char *)answers.bytes, answers.len, line);
}

/* A job on the question that answers.txt is about. */
static siskin_result ask(siskin_session *session, const siskin_picture *const *pictures, size_t count, siskin_job **job, siskin_error **error) {
    SIZED(siskin_message, message);
    SIZED(siskin_chat, chat);
    SIZED(siskin_prompt, prompt);
    SIZED(siskin_generate_options, options);
    message.role = "user";
    message.role_len = 4;
    message.content = "what is this";
    message.content_len = strlen(message.content);
    message.pictures = pictures;
    message.picture_count = count;
    chat.messages = &message;
    chat.message_count = 1;
    chat.add_generation_prompt = 1;
    prompt.chat = &chat;
    siskin_generate_options_init(&options);
    options.temperature = 0;
    options.limit_tokens = 1;
    options.max_tokens = 12;
    options.stop_at_end_of_turn = 0;
    return siskin_job_new(session, &prompt, &options, job, error);
}

static void answers(siskin_session *session, const char *name, const siskin_picture *const *pictures, size_t count) {
    siskin_job *job = NULL;
    said s;
    memset(&s, 0, sizeof s);
    if (WORKS(ask(session, pictures, count, &job, NULL))) {
        WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
        if (!CHECK(is_answer(name, &s))) {
            printf("the answer to %s\n", name);
        }
    }
    WORKS(siskin_job_free(job));
}

static void refused(siskin_result want, siskin_result got, siskin_error *error, const char *words) {
    const char *message = NULL;
    size_t len = 0;
    GIVES(want, got);
    WORKS(siskin_error_message(error, &message, &len));
    CHECK(contains(message, len, words));
    WORKS(siskin_error_free(error));
}

static void refusals(const siskin_model *seeing, const siskin_vision *vision) {
    static file bytes, pixels;
    SIZED(siskin_picture_options, crops);
    siskin_model *blind = open_model();
    siskin_vision *other = NULL;
    siskin_picture *picture = NULL;
    siskin_error *error = NULL;
    const char *path = in_folder("mmproj.gguf");
    siskin_result result = siskin_vision_open_path(blind, path, strlen(path), &other, &error);
    refused(SISKIN_RESULT_UNSUPPORTED, result, error, "does not see");
    path = in_folder("other.gguf");
    result = siskin_vision_open_path(seeing, path, strlen(path), &other, &error);
    refused(SISKIN_RESULT_SHAPE, result, error, "it belongs to another model");
    path = in_folder("model.gguf");
    result = siskin_vision_open_path(seeing, path, strlen(path), &other, &error);
    refused(SISKIN_RESULT_UNSUPPORTED, result, error, "no vision tower");
    path = in_folder("no such file");
    GIVES(SISKIN_RESULT_IO, siskin_vision_open_path(seeing, path, strlen(path), &other, NULL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_vision_open_fd(seeing, -1, 0, 1, &other, NULL));
    GIVES(SISKIN_RESULT_FORMAT, siskin_vision_open_bytes(seeing, (const uint8_t *)"GGUF", 4, NULL, NULL, &other, NULL));
    CHECK(other == NULL);

    read_file("picture.rgb", &pixels);
    CHECK(pixels.len == 3 * WIDTH * HEIGHT);
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_picture_new_rgb(vision, 0, 0, pixels.bytes, 0, &picture, NULL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_picture_new_rgb(vision, 0, HEIGHT, pixels.bytes, pixels.len, &picture, NULL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_picture_new_rgb(vision, UINT32_MAX, UINT32_MAX, pixels.bytes, pixels.len, &picture, NULL));
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_picture_new_rgb(vision, WIDTH, HEIGHT, pixels.bytes, pixels.len - 1, &picture, NULL));
    WORKS(siskin_picture_options_init(vision, &crops));
    crops.pan_and_scan = 2;
    result = siskin_picture_new_rgb_with(vision, WIDTH, HEIGHT, pixels.bytes, pixels.len, &crops, &picture, &error);
    refused(SISKIN_RESULT_INVALID_ARGUMENT, result, error, "pan_and_scan is 2");
    crops.pan_and_scan = 1;
    crops.max_crops = 17;
    result = siskin_picture_new_rgb_with(vision, WIDTH, HEIGHT, pixels.bytes, pixels.len, &crops, &picture, &error);
    refused(SISKIN_RESULT_INVALID_ARGUMENT, result, error, "17 crops");
    crops.size = 3;
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_picture_options_init(vision, &crops));
    GIVES(SISKIN_RESULT_STRUCT_SIZE, siskin_picture_new_rgb_with(vision, WIDTH, HEIGHT, pixels.bytes, pixels.len, &crops, &picture, NULL));
    read_file("picture.jpg", &bytes);
    result = siskin_picture_open_bytes(vision, bytes.bytes, bytes.len - 100, &picture, &error);
    refused(SISKIN_RESULT_FORMAT, result, error, "ends early");
    GIVES(SISKIN_RESULT_FORMAT, siskin_picture_open_bytes(vision, bytes.bytes, 10, &picture, NULL));
    GIVES(SISKIN_RESULT_FORMAT, siskin_picture_open_bytes(vision, (const uint8_t *)"GIF89a", 6, &picture, NULL));
    GIVES(SISKIN_RESULT_FORMAT, siskin_picture_open_bytes(vision, NULL, 0, &picture, NULL));
    read_file("picture.png", &bytes);
    GIVES(SISKIN_RESULT_FORMAT, siskin_picture_open_bytes(vision, bytes.bytes, bytes.len / 2, &picture, NULL));
    bytes.bytes[16] = bytes.bytes[20] = 0x7F; /* two thousand million pixels on each side */
    CHECK(siskin_picture_open_bytes(vision, bytes.bytes, bytes.len, &picture, NULL) != SISKIN_RESULT_OK);
    CHECK(picture == NULL);
    WORKS(siskin_model_free(blind));
}

void test_see(void) {
    static file bytes;
    siskin_model *model = open_seeing_model(), *twin = open_seeing_model();
    siskin_vision *vision = open_vision(model), *again = NULL;
    siskin_session *session = new_session(model), *other = new_session(twin);
    siskin_picture *rgb = NULL, *png = NULL, *jpg = NULL, *parts = NULL;
    const siskin_picture *shown[2];
    siskin_job *job = NULL;
    siskin_error *error = NULL;
    siskin_result result;
    size_t position = 0, after = 0, images = 0;
    bool reads = false;
    said s;
    SIZED(siskin_vision_info, info);
    SIZED(siskin_picture_options, crops);
    SIZED(siskin_session_options, sizes);
    SIZED(siskin_prompt, prompt);

    WORKS(siskin_vision_get_info(vision, &info));
    CHECK(info.image_size == 40 && info.positions == 25 && info.layers == 2 && info.encode_bytes > 1000 && info.heap_bytes > 0);
    refusals(model, vision);
    read_file("mmproj.gguf", &bytes);
    CHECK(bytes.len == sizeof bytes.bytes); /* it is larger: of half a file nothing is made */
    CHECK(siskin_vision_open_bytes(model, bytes.bytes, bytes.len, NULL, NULL, &again, NULL) != SISKIN_RESULT_OK);

    read_file("picture.rgb", &bytes);
    WORKS(siskin_picture_new_rgb(vision, WIDTH, HEIGHT, bytes.bytes, bytes.len, &rgb, NULL));
    WORKS(siskin_picture_images(rgb, &images));
    CHECK(images == 1);
    /* In parts, too: if that is asked for, and if they are not too small. */
    WORKS(siskin_picture_options_init(vision, &crops));
    CHECK(crops.pan_and_scan == 0 && crops.min_crop_size == 256 && crops.max_crops == 4 && crops.min_ratio > 1.19 && crops.min_ratio < 1.21);
    crops.pan_and_scan = 1;
    WORKS(siskin_picture_new_rgb_with(vision, WIDTH, HEIGHT, bytes.bytes, bytes.len, &crops, &parts, NULL));
    WORKS(siskin_picture_images(parts, &images));
    CHECK(images == 1);
    WORKS(siskin_picture_free(parts));
    crops.min_crop_size = 8;
    WORKS(siskin_picture_new_rgb_with(vision, WIDTH, HEIGHT, bytes.bytes, bytes.len, &crops, &parts, NULL));
    WORKS(siskin_picture_images(parts, &images));
    CHECK(images == 3);
    read_file("picture.png", &bytes);
    result = siskin_picture_open_bytes(vision, bytes.bytes, bytes.len, &png, &error);
    reads = result != SISKIN_RESULT_UNSUPPORTED;
    if (!reads) {
        refused(SISKIN_RESULT_UNSUPPORTED, result, error, "without readers");
        printf("the library reads no files of images\n");
    } else {
        WORKS(result);
        WORKS(siskin_picture_open_bytes_with(vision, bytes.bytes, bytes.len, &crops, &jpg, NULL));
        WORKS(siskin_picture_images(jpg, &images));
        CHECK(images == 3);
        WORKS(siskin_picture_free(jpg));
        read_file("picture.jpg", &bytes);
        WORKS(siskin_picture_open_bytes(vision, bytes.bytes, bytes.len, &jpg, NULL));
    }
    /* What they were made of may go. */
    memset(bytes.bytes, 0, sizeof bytes.bytes);
    WORKS(siskin_vision_free(vision));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_picture_new_rgb(vision, WIDTH, HEIGHT, bytes.bytes, 3 * WIDTH * HEIGHT, &png, NULL));

    answers(session, "none", NULL, 0);
    shown[0] = rgb;
    answers(session, "rgb", shown, 1);
    shown[0] = parts;
    answers(session, "crops", shown, 1);
    if (reads) {
        shown[0] = png;
        answers(session, "png", shown, 1);
        shown[0] = jpg;
        answers(session, "jpg", shown, 1);
        shown[0] = png;
        shown[1] = jpg;
        answers(session, "both", shown, 2);
    }

    /* The same again is not computed again: but for the last token of the prompt. */
    shown[0] = rgb;
    answers(session, "rgb", shown, 1);
    memset(&s, 0, sizeof s);
    WORKS(ask(session, shown, 1, &job, NULL));
    {
        SIZED(siskin_outcome, outcome);
        WORKS(siskin_job_run(job, on_event, &s, &outcome, NULL));
        CHECK(outcome.prompt_tokens == 1 && is_answer("rgb", &s));
    }
    WORKS(siskin_job_free(job));

    /* Behind text, cancelled before it starts: nothing is there. */
    WORKS(siskin_session_truncate(session, 0, &position));
    WORKS(ask(session, shown, 1, &job, NULL));
    WORKS(siskin_job_cancel(job));
    memset(&s, 0, sizeof s);
    WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
    CHECK(s.reason == SISKIN_STOP_CANCELLED && s.token_count == 0);
    WORKS(siskin_job_free(job));
    prompt.text = "ab";
    prompt.text_len = 2;
    prompt.pictures = shown;
    prompt.picture_count = 1;
    WORKS(siskin_job_new(session, &prompt, NULL, &job, NULL));
    s.stop_after = 1;
    WORKS(siskin_job_run(job, on_event, &s, NULL, NULL));
    WORKS(siskin_session_position(session, &after));
    CHECK(after > 27 && s.token_count == 1);
    WORKS(siskin_job_free(job));

    /* Of another model, in a session with too small passes, where no text is. */
    result = ask(other, shown, 1, &job, &error);
    refused(SISKIN_RESULT_INVALID_ARGUMENT, result, error, "another model");
    WORKS(siskin_session_free(other));
    WORKS(siskin_session_options_init(&sizes));
    sizes.batch = 8;
    WORKS(siskin_session_new(model, &sizes, &other, NULL));
    result = ask(other, shown, 1, &job, &error);
    refused(SISKIN_RESULT_INVALID_ARGUMENT, result, error, "batch");
    prompt.text = NULL;
    prompt.tokens = script_tokens;
    prompt.token_count = 1;
    GIVES(SISKIN_RESULT_INVALID_ARGUMENT, siskin_job_new(session, &prompt, NULL, &job, NULL));
    shown[0] = (const siskin_picture *)model; /* a handle of another kind */
    GIVES(SISKIN_RESULT_INVALID_HANDLE, ask(session, shown, 1, &job, NULL));
    shown[0] = NULL;
    GIVES(SISKIN_RESULT_NULL_POINTER, ask(session, shown, 1, &job, NULL));
    GIVES(SISKIN_RESULT_NULL_POINTER, ask(session, NULL, 1, &job, NULL));

    WORKS(siskin_picture_free(rgb));
    GIVES(SISKIN_RESULT_INVALID_HANDLE, siskin_picture_free(rgb));
    WORKS(siskin_picture_free(parts));
    WORKS(siskin_picture_free(png));
    WORKS(siskin_picture_free(jpg));
    WORKS(siskin_session_free(other));
    WORKS(siskin_session_free(session));
    WORKS(siskin_model_free(twin));
    WORKS(siskin_model_free(model));
}
