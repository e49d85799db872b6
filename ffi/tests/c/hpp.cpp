// siskin.hpp. Usage: hpp SCRIPT_MODEL [REAL_MODEL]
#include <siskin.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

namespace {

unsigned passed, failed;

void check_that(bool good, const char *what, int line) {
    good ? passed++ : failed++;
    if (!good) {
        std::printf("hpp.cpp:%d: FAILED: %s\n", line, what);
    }
}
#define CHECK(...) check_that(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __LINE__)

// What `f` throws.
template <class F>
siskin_result thrown(F &&f) {
    try {
        f();
    } catch (const siskin::Error &error) {
        return error.result();
    }
    return SISKIN_RESULT_OK;
}

const char *const script = " Hello \xF0\x9F\x90\xA6,\xEF\xBF\xBD and\xEF\xBF\xBD bye!\xEF\xBF\xBD";

static_assert(!std::is_copy_constructible_v<siskin::Model> && std::is_nothrow_move_constructible_v<siskin::Model>);
static_assert(!std::is_copy_constructible_v<siskin::Session> && std::is_nothrow_move_assignable_v<siskin::Session>);
static_assert(!std::is_copy_constructible_v<siskin::Job> && std::is_nothrow_move_constructible_v<siskin::Job>);
static_assert(std::is_nothrow_copy_constructible_v<siskin::Error>);

siskin::Prompt hello() { return siskin::Prompt::chat({{"user", "hello"}}); }

void answers(const siskin::Model &model) {
    siskin::Session session = model.session();
    // Pushed, with a function that returns nothing.
    std::string text;
    std::vector<siskin::Token> tokens;
    bool done = false;
    siskin::Outcome outcome = session.job(hello()).run([&](const siskin::Event &event) {
        if (event.kind == siskin::Event::Kind::text) {
            text += event.text;
            CHECK(event.text.find("\xF0\x9F") == std::string_view::npos || event.text.find("\xF0\x9F\x90\xA6") != std::string_view::npos);
        } else if (event.kind == siskin::Event::Kind::token) {
            tokens.push_back(event.token);
            CHECK(!event.logprob);
        }
        CHECK(!done);
        done = event.outcome.has_value();
    });
    CHECK(done && text == script && tokens.size() == 15 && outcome.reason == siskin::StopReason::end_of_turn && outcome.generated_tokens == 15);
    // Pulled.
    siskin::GenerateOptions options = siskin::GenerateOptions::greedy();
    options.logprobs = true;
    std::string pulled;
    std::vector<siskin::Token> same;
    siskin::Job job = session.job(hello(), options);
    for (const siskin::Event &event : job) {
        pulled += event.text;
        if (event.kind == siskin::Event::Kind::token) {
            same.push_back(event.token);
            CHECK(event.logprob && *event.logprob <= 0);
        }
    }
    CHECK(pulled == script && same == tokens && job.outcome()->generated_tokens == 15 && !job.next());
    // Bounded, stopped and banned.
    options.max_tokens = 3;
    options.stop = {"never", "He"};
    outcome = session.job(siskin::Prompt::text("x"), options).run([](const siskin::Event &) { return true; });
    CHECK(outcome.reason == siskin::StopReason::stop_string);
    options.stop.clear();
    options.bias = {{tokens[0], -HUGE_VALF}};
    siskin::Token first = tokens[0];
    session.truncate(0);
    outcome = session.job(siskin::Prompt::text("x"), options).run([&](const siskin::Event &event) {
        first = event.kind == siskin::Event::Kind::token && first == tokens[0] ? event.token : first;
    });
    CHECK(outcome.reason == siskin::StopReason::max_tokens && first != tokens[0]);
    // Tokens go on where they stand; false stops.
    session.truncate(0);
    outcome = session.job(siskin::Prompt::tokens({1, 270})).run([](const siskin::Event &event) { return event.kind != siskin::Event::Kind::token; });
    CHECK(outcome.reason == siskin::StopReason::caller && session.tokens().size() == session.position());
    CHECK(session.logits().size() == model.info().vocab);
    // What the function throws comes out, and the session is free again.
    bool caught = false;
    try {
        session.job(hello()).run([](const siskin::Event &) { throw std::out_of_range("mine"); });
    } catch (const std::out_of_range &) {
        caught = true;
    }
    CHECK(caught && session.truncate(0) == 0);
    // Moved things work; moved-from things are empty, which is an error and no crash.
    siskin::Session other = std::move(session);
    siskin::Job late = other.job(hello());
    CHECK(other.position() == 0 && thrown([&] { (void)session.position(); }) == SISKIN_RESULT_NULL_POINTER);
    late.cancel();
    CHECK(late.run([](const siskin::Event &) {}).reason == siskin::StopReason::cancelled);
    CHECK(thrown([&] { late.run([](const siskin::Event &) {}); }) == SISKIN_RESULT_INVALID_ARGUMENT);
    // Busy, and dropped while it runs.
    options = siskin::GenerateOptions::greedy();
    options.stop_at_end_of_turn = false;
    siskin::Job busy = other.job(hello(), options);
    busy.start();
    CHECK(thrown([&] { (void)other.position(); }) == SISKIN_RESULT_BUSY);
    CHECK(busy.next(std::chrono::milliseconds(1000)));
}

void reading(const siskin::Model &model, const char *path) {
    CHECK(model.info().layers == 1 && model.fit().context == 4096 && model.session({64, 16}).fit().context == 64);
    CHECK(model.metadata("general.name") == "\"A script for tests\"" && !model.metadata("no.such.key"));
    const auto keys = model.metadata_keys();
    CHECK(std::find(keys.begin(), keys.end(), "general.architecture") != keys.end());
    CHECK(model.detokenize(model.tokenize("\xF0\x9F\x90\xA6")) == "\xF0\x9F\x90\xA6" && model.tokenize("").empty());
    CHECK(model.begin_token() == 1U && model.end_token() == 2U && model.ends_turn(2) && model.token_text(2) == "</s>");
    CHECK(model.render({{"user", "a"}}) == "<|user|>a</s><|assistant|>" && !model.chat_template().empty());
    // A text's last token points along one axis.
    CHECK(thrown([&] { (void)model.embedder(); }) == SISKIN_RESULT_UNSUPPORTED);
    siskin::EmbedOptions last;
    last.pooling = SISKIN_POOLING_LAST;
    siskin::Embedder embedder = model.embedder(last);
    embedder.cancel();
    const std::vector<float> vector = embedder.embed("hello");
    CHECK(vector.size() == 128 && embedder.dimensions() == 128 && vector[14] == 1.0F && vector[13] == 0.0F);
    model.set_thermal(SISKIN_THERMAL_FAIR);
    model.relieve(SISKIN_PRESSURE_MODERATE);

    std::ifstream file(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    CHECK(siskin::Model::open_bytes(bytes.data(), bytes.size()).info().layers == 1);
    std::FILE *raw = std::fopen(path, "rb");
    CHECK(siskin::Model::open_fd(fileno(raw), 0, bytes.size()).info().layers == 1);
    std::fclose(raw);

    // The log function lives as long as it can be called, and not longer.
    auto token = std::make_shared<int>(0);
    siskin::ModelOptions options;
    options.threads = 1;
    options.log = [token](siskin_log_level, std::string_view) { ++*token; };
    {
        siskin::Session session = siskin::Model::open(path, options).session();
        options.log = nullptr;
        CHECK(token.use_count() == 2);
        session.job(hello()).run([](const siskin::Event &) {});
    }
    CHECK(token.use_count() == 1 && *token > 1);
    options.log = [token](siskin_log_level, std::string_view) {};
    CHECK(thrown([&] { siskin::Model::open("\xFF", options); }) == SISKIN_RESULT_INVALID_UTF8);
    options.log = nullptr;
    CHECK(token.use_count() == 1);

    try {
        siskin::Model::open("/nowhere/x.gguf");
        CHECK(false);
    } catch (const siskin::Error &error) {
        const siskin::Error copy = error;
        CHECK(copy.result() == SISKIN_RESULT_IO && copy.file() == "/nowhere/x.gguf" && !copy.key() && !copy.tensor() && !copy.offset());
        CHECK(std::string_view(copy.kind()) == "SISKIN_RESULT_IO" && !copy.message().empty());
        CHECK(std::string_view(copy.what()).find("/nowhere/x.gguf") != std::string_view::npos);
    }
    try {
        siskin::Model::open_bytes(bytes.data(), bytes.size() / 2);
        CHECK(false);
    } catch (const siskin::Error &error) {
        CHECK(error.tensor() || error.offset() || error.key());
    }
}

// Pictures in messages, fill in the middle, moderation.
void seeing(const siskin::Model &blind, std::string folder) {
    folder.erase(folder.rfind('/') + 1);
    folder += "seeing/";
    const auto file = [&](const char *name) {
        std::ifstream from(folder + name, std::ios::binary);
        return std::string((std::istreambuf_iterator<char>(from)), {});
    };
    const siskin::Model model = siskin::Model::open(folder + "model.gguf");
    siskin::Session session = model.session();
    siskin::GenerateOptions options = siskin::GenerateOptions::greedy();
    options.max_tokens = 12, options.stop_at_end_of_turn = false;
    const auto answer = [&](const char *name, std::vector<siskin::Picture> pictures) {
        std::string line = name;
        session.job(siskin::Prompt::chat({{"user", "what is this", "", std::move(pictures)}}), options).run([&](const siskin::Event &event) {
            if (event.kind == siskin::Event::Kind::token) {
                line += (line == name ? " " : ",") + std::to_string(event.token);
            }
        });
        CHECK(file("answers.txt").find(line + "\n") != std::string::npos);
    };
    const std::string pixels = file("picture.rgb"), png = file("picture.png"), tower = file("mmproj.gguf");
    const auto rgb = [&](const siskin::Vision &vision) {
        return vision.picture(64, 48, reinterpret_cast<const std::uint8_t *>(pixels.data()), pixels.size());
    };
    std::optional<siskin::Vision> vision = model.vision(folder + "mmproj.gguf");
    CHECK(vision->info().positions == 25 && model.vision_bytes(tower.data(), tower.size()).info().layers == 2);
    const siskin::Picture first = rgb(*vision), second = vision->picture(png.data(), png.size());
    siskin::PanAndScan crops = vision->pan_and_scan();
    CHECK(crops.min_crop_size == 256 && crops.max_crops == 4 && crops.min_ratio == 1.2);
    CHECK(vision->picture(png.data(), png.size(), crops).images() == 1); // too small for them
    crops.min_crop_size = 8;
    const siskin::Picture parts = vision->picture(64, 48, reinterpret_cast<const std::uint8_t *>(pixels.data()), pixels.size(), crops);
    CHECK(first.images() == 1 && parts.images() == 3 && vision->picture(png.data(), png.size(), crops).images() == 3);
    crops.max_crops = 0;
    CHECK(thrown([&] { (void)vision->picture(png.data(), png.size(), crops); }) == SISKIN_RESULT_INVALID_ARGUMENT);
    CHECK(thrown([&] { (void)vision->picture(0, 0, nullptr, 0); }) == SISKIN_RESULT_INVALID_ARGUMENT);
    CHECK(thrown([&] { (void)vision->picture(png.data(), 100); }) == SISKIN_RESULT_FORMAT);
    CHECK(thrown([&] { (void)blind.vision(folder + "mmproj.gguf"); }) == SISKIN_RESULT_UNSUPPORTED);
    CHECK(thrown([&] { (void)model.vision(folder + "other.gguf"); }) == SISKIN_RESULT_SHAPE);
    vision.reset(); // pictures keep what they need
    answer("none", {});
    answer("rgb", {first});
    answer("png", {second});
    answer("crops", {parts});
    CHECK(thrown([&] { blind.session().job(siskin::Prompt::text("x", false, {first})); }) == SISKIN_RESULT_INVALID_ARGUMENT);

    CHECK(blind.fills_in() && !model.fills_in() && blind.info().generates == 1);
    siskin_fim_cut cut{};
    std::string text;
    siskin::Session coding = blind.session();
    coding.fim({"int main", "return", "a.c", std::nullopt, {{"b.c", "x"}}}, siskin::GenerateOptions::greedy(), &cut).run([&](const siskin::Event &event) { text += event.text; });
    CHECK(text == script && cut.prefix_tokens == 0 && cut.files == 0);
    CHECK(thrown([&] { (void)session.fim({"a", "b"}); }) == SISKIN_RESULT_UNSUPPORTED);
    CHECK(thrown([&] { (void)blind.moderator(); }) == SISKIN_RESULT_UNSUPPORTED);
    siskin::Moderator moderator = blind.moderator(true);
    const std::vector<double> scores = moderator.moderate("hello", {{"harassment"}, {"mine", "No shouting."}}, "hi");
    CHECK(scores.size() == 2 && std::abs(scores[0] - 0.7561) < 1e-4 && std::abs(scores[1] - 0.7561) < 1e-4);
    CHECK(thrown([&] { moderator.moderate("hello", {{"spam"}}); }) == SISKIN_RESULT_INVALID_ARGUMENT);
    moderator.cancel();
    siskin::ModelOptions stream;
    stream.experts = SISKIN_EXPERTS_STREAM;
    CHECK(siskin::Model::open(folder + "model.gguf", stream).info().layers == 7);
}

// Cancelling a long prefill from another thread, pushed and pulled.
void cancelling(const char *path) {
    const siskin::Model model = siskin::Model::open(path);
    siskin::Session session = model.session({8192, 0});
    std::string text;
    for (int i = 0; i < 9000; i++) {
        text += i % 6 == 5 ? ' ' : static_cast<char>('a' + (i * i / 7 + i) % 26);
    }
    std::vector<double> took;
    for (int i = 0; i < 11; i++) {
        session.truncate(0);
        siskin::Job job = session.job(siskin::Prompt::text(text));
        std::chrono::steady_clock::time_point cancelled;
        std::thread thread([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(60));
            cancelled = std::chrono::steady_clock::now();
            job.cancel();
        });
        std::optional<siskin::Outcome> outcome;
        if (i % 2 == 0) {
            outcome = job.run([](const siskin::Event &) {});
        } else {
            for (const siskin::Event &event : job) {
                outcome = event.outcome;
            }
        }
        const auto ended = std::chrono::steady_clock::now();
        thread.join();
        CHECK(outcome && outcome->reason == siskin::StopReason::cancelled && outcome->generated_tokens == 0);
        took.push_back(std::chrono::duration<double, std::milli>(ended - cancelled).count());
    }
    std::sort(took.begin(), took.end());
    std::printf("C++: cancel in a long prefill: median %.1f ms, at most %.1f ms of 11 (promised: 50)\n", took[5], took.back());
    CHECK(took[5] < 250);
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2) {
        return 2;
    }
    const siskin::Model model = siskin::Model::open(argv[1]);
    answers(model);
    reading(model, argv[1]);
    seeing(model, argv[1]);
    if (argc > 2 && std::ifstream(argv[2]).good()) {
        cancelling(argv[2]);
    }
    std::printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
