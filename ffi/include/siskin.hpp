// Siskin for C++17: the C interface (siskin.h) with ownership, exceptions and views. Header-only.
//
//     siskin::Model model = siskin::Model::open("model.gguf");
//     siskin::Session session = model.session();
//     siskin::Job job = session.job(siskin::Prompt::chat({{"user", "What is a finch?"}}));
//     for (const siskin::Event &event : job)                      // pulled: a thread of the library does the work
//         if (event.kind == siskin::Event::Kind::text) std::cout << event.text << std::flush;
//
// or pushed, on the calling thread:
//
//     siskin::Outcome outcome = session.job(prompt).run([](const siskin::Event &event) { ... });
//
// - Model, Session and Job own a handle each: they can be moved, not copied, and never wait when they end. A job that runs
//   when its Job or Session ends is cancelled and ends by itself.
// - Every failure is thrown as siskin::Error. A job that was cancelled has not failed: its Outcome says so.
// - All functions of a Model may be called from any thread. Those of a Session too; while a job runs on it they throw an
//   Error with SISKIN_RESULT_BUSY. Job::cancel may be called from any thread and from a signal handler.
// - Text is UTF-8. The text of an Event is a view: it is valid until the next event.
//
// Over 500 lines: one header that people copy as a whole.
#ifndef SISKIN_HPP
#define SISKIN_HPP

#include "siskin.h"

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if SISKIN_ABI_VERSION != 1
#error "this siskin.hpp belongs to version 1 of siskin.h"
#endif

namespace siskin {

using Token = std::uint32_t;

// Why a call did not work, and where.
class Error : public std::runtime_error {
public:
    // What kind of failure: SISKIN_RESULT_IO, SISKIN_RESULT_BUSY ...
    siskin_result result() const noexcept { return result_; }
    // Its name.
    const char *kind() const noexcept { return siskin_result_name(static_cast<std::uint32_t>(result_)); }
    // What happened, without where; what() has everything in one line.
    const std::string &message() const noexcept { return where_->message; }
    // The file, metadata key, tensor and byte offset concerned, as far as there is one.
    const std::optional<std::string> &file() const noexcept { return where_->file; }
    const std::optional<std::string> &key() const noexcept { return where_->key; }
    const std::optional<std::string> &tensor() const noexcept { return where_->tensor; }
    const std::optional<std::uint64_t> &offset() const noexcept { return where_->offset; }

    // Takes over what a call gave; `error` may be NULL.
    static Error take(siskin_result result, siskin_error *error) {
        const std::unique_ptr<siskin_error, Free> owner(error);
        auto where = std::make_shared<Where>();
        std::string text = siskin_result_name(static_cast<std::uint32_t>(result));
        if (error != nullptr) {
            where->message = part(siskin_error_message, error).value_or("");
            where->file = part(siskin_error_file, error);
            where->key = part(siskin_error_key, error);
            where->tensor = part(siskin_error_tensor, error);
            std::uint64_t offset = 0;
            bool known = false;
            if (siskin_error_offset(error, &offset, &known) == SISKIN_RESULT_OK && known) {
                where->offset = offset;
            }
            siskin_text *line = nullptr;
            const char *data = nullptr;
            std::size_t len = 0;
            if (siskin_error_describe(error, &line) == SISKIN_RESULT_OK) {
                if (siskin_text_data(line, &data, &len) == SISKIN_RESULT_OK) {
                    text.assign(data, len);
                }
                siskin_text_free(line);
            }
        } else {
            where->message = text;
        }
        return Error(result, text, std::move(where));
    }

private:
    struct Where {
        std::string message;
        std::optional<std::string> file, key, tensor;
        std::optional<std::uint64_t> offset;
    };
    struct Free {
        void operator()(siskin_error *error) const noexcept { siskin_error_free(error); }
    };
    template <class Function>
    static std::optional<std::string> part(Function function, const siskin_error *error) {
        const char *data = nullptr;
        std::size_t len = 0;
        if (function(error, &data, &len) != SISKIN_RESULT_OK || data == nullptr) {
            return std::nullopt;
        }
        return std::string(data, len);
    }
    Error(siskin_result result, const std::string &text, std::shared_ptr<const Where> where)
        : std::runtime_error(text), result_(result), where_(std::move(where)) {}

    siskin_result result_;
    std::shared_ptr<const Where> where_; // copying an exception must not throw
};

namespace detail {

inline void check(siskin_result result, siskin_error *error = nullptr) {
    if (result != SISKIN_RESULT_OK) {
        throw Error::take(result, error);
    }
}

// Calls `function(arguments.., &error)`.
template <class Function, class... Arguments>
void call(Function function, Arguments... arguments) {
    siskin_error *error = nullptr;
    const siskin_result result = function(arguments..., &error);
    check(result, error);
}

template <class T, siskin_result (*Free)(T *)>
class Handle {
public:
    Handle() = default;
    explicit Handle(T *raw) noexcept : raw_(raw) {}
    Handle(Handle &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    Handle &operator=(Handle &&other) noexcept {
        if (this != &other) {
            Free(raw_);
            raw_ = std::exchange(other.raw_, nullptr);
        }
        return *this;
    }
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;
    ~Handle() { Free(raw_); }
    T *get() const noexcept { return raw_; }
    T **out() noexcept { return &raw_; }

private:
    T *raw_ = nullptr;
};

using Text = Handle<siskin_text, siskin_text_free>;
using Tokens = Handle<siskin_tokens, siskin_tokens_free>;

inline std::string text(const Text &handle) {
    const char *data = nullptr;
    std::size_t len = 0;
    check(siskin_text_data(handle.get(), &data, &len));
    return std::string(data, len);
}

inline std::vector<Token> tokens(const Tokens &handle) {
    const Token *data = nullptr;
    std::size_t len = 0;
    check(siskin_tokens_data(handle.get(), &data, &len));
    return len == 0 ? std::vector<Token>() : std::vector<Token>(data, data + len);
}

// A struct with its size set and everything else zero.
template <class T>
T sized() noexcept {
    T value{};
    value.size = static_cast<std::uint32_t>(sizeof value);
    return value;
}

// Calls of Model::open that need no exception-safe owner of their own: what the log function is.
using LogFunction = std::function<void(siskin_log_level, std::string_view)>;

} // namespace detail

// How to run a model.
struct ModelOptions {
    std::uint32_t threads = 0; // 0: one per fast core
    std::string kernels;       // empty: the fastest
    // Hears messages, on any thread; it must not throw and not call the library.
    std::function<void(siskin_log_level, std::string_view)> log;
    siskin_log_level log_level = SISKIN_LOG_INFO;
    siskin_experts experts = SISKIN_EXPERTS_AUTO; // how experts come into memory
};

// What a session is to hold.
struct SessionOptions {
    std::uint64_t context = 0; // tokens that fit; 0: 4096, or what the model was trained for if that is less
    std::uint64_t batch = 0;   // most tokens in one pass; 0: the library's choice
    siskin_kv_type kv_type = SISKIN_KV_F16;

    siskin_session_options raw() const {
        auto out = detail::sized<siskin_session_options>();
        detail::check(siskin_session_options_init(&out));
        out.context = context;
        out.batch = batch != 0 ? batch : out.batch;
        out.kv_type = static_cast<std::uint32_t>(kv_type);
        return out;
    }
};

// How texts become vectors; see siskin_embed_options.
struct EmbedOptions {
    siskin_pooling pooling = SISKIN_POOLING_MODEL;
    bool normalize = true;        // vectors of length 1
    bool truncate = false;        // a text that is too long is cut instead of refused
    std::uint64_t dimensions = 0; // only the first so many numbers; 0: all

    siskin_embed_options raw() const {
        auto out = detail::sized<siskin_embed_options>();
        detail::check(siskin_embed_options_init(&out));
        out.pooling = static_cast<std::uint32_t>(pooling);
        out.normalize = normalize ? 1 : 0;
        out.truncate = truncate ? 1 : 0;
        out.dimensions = dimensions;
        return out;
    }
};

// What to generate. Starts with the library's defaults; see siskin_generate_options for what each means.
struct GenerateOptions {
    std::optional<std::uint64_t> max_tokens; // none: as many as the context holds
    float temperature, top_p, min_p, typical_p, repeat_penalty, frequency_penalty, presence_penalty;
    std::uint32_t top_k, penalty_last_n;
    std::uint64_t seed;
    bool stop_at_end_of_turn, logprobs, show_special;
    std::vector<std::string> stop;               // texts that end the answer
    std::vector<std::pair<Token, float>> bias;   // added to the logits of tokens; -INFINITY bans one

    GenerateOptions() {
        auto o = detail::sized<siskin_generate_options>();
        detail::check(siskin_generate_options_init(&o));
        temperature = o.temperature, top_p = o.top_p, min_p = o.min_p, typical_p = o.typical_p;
        repeat_penalty = o.repeat_penalty, frequency_penalty = o.frequency_penalty, presence_penalty = o.presence_penalty;
        top_k = o.top_k, penalty_last_n = o.penalty_last_n, seed = o.seed;
        stop_at_end_of_turn = o.stop_at_end_of_turn != 0, logprobs = o.logprobs != 0, show_special = o.show_special != 0;
    }

    // Always the most probable token.
    static GenerateOptions greedy() {
        GenerateOptions out;
        out.temperature = 0;
        return out;
    }
};

namespace detail {

// Options as C sees them; it points into `from`.
struct RawGenerate {
    siskin_generate_options options = sized<siskin_generate_options>();
    std::vector<const char *> stop;
    std::vector<std::size_t> stop_lens;
    std::vector<Token> bias_tokens;
    std::vector<float> bias_values;

    explicit RawGenerate(const GenerateOptions &from) {
        siskin_generate_options &o = options;
        check(siskin_generate_options_init(&o));
        o.limit_tokens = from.max_tokens.has_value(), o.max_tokens = from.max_tokens.value_or(0);
        o.temperature = from.temperature, o.top_k = from.top_k, o.top_p = from.top_p, o.min_p = from.min_p;
        o.typical_p = from.typical_p, o.repeat_penalty = from.repeat_penalty;
        o.frequency_penalty = from.frequency_penalty, o.presence_penalty = from.presence_penalty;
        o.penalty_last_n = from.penalty_last_n, o.seed = from.seed;
        o.stop_at_end_of_turn = from.stop_at_end_of_turn, o.logprobs = from.logprobs, o.show_special = from.show_special;
        for (const std::string &text : from.stop) {
            stop.push_back(text.data());
            stop_lens.push_back(text.size());
        }
        o.stop = stop.data(), o.stop_lens = stop_lens.data(), o.stop_count = stop.size();
        for (const auto &[token, value] : from.bias) {
            bias_tokens.push_back(token);
            bias_values.push_back(value);
        }
        o.bias_tokens = bias_tokens.data(), o.bias_values = bias_values.data(), o.bias_count = bias_tokens.size();
    }
    RawGenerate(const RawGenerate &) = delete; // `options` points to the vectors
    RawGenerate &operator=(const RawGenerate &) = delete;
};

} // namespace detail

// What is to be completed: what goes between `prefix` and `suffix`.
struct FimRequest {
    struct File {
        std::string path, text;
    };
    std::string prefix, suffix;
    std::optional<std::string> path = {}; // where the text is from, within its project
    std::optional<std::string> repo = {}; // the project's name
    std::vector<File> files = {};         // others of the project, the most important one last
};

// A rule that a text may violate.
struct Policy {
    std::string name;                          // "dangerous_content", "harassment", "hate_speech", "sexually_explicit", or any
    std::optional<std::string> guideline = {}; // its words; none: those that the model was trained with
};

// A picture for a model to see, in any number of prompts; made by a Vision. Copies are the same picture. The first job that
// reads it turns it into embeddings, which it keeps.
class Picture {
public:
    // How many images a prompt has for it: 1, and one for each crop. Each takes the positions that Vision::info says.
    std::size_t images() const {
        std::size_t out = 0;
        detail::check(siskin_picture_images(raw(), &out));
        return out;
    }

    siskin_picture *raw() const noexcept { return handle_->get(); }

private:
    friend class Vision;
    using Handle = detail::Handle<siskin_picture, siskin_picture_free>;
    explicit Picture(siskin_picture *raw) : handle_(std::make_shared<Handle>(raw)) {}

    std::shared_ptr<Handle> handle_;
};

// Into which parts a long picture is cut, which are shown behind the whole. The defaults are what Gemma 3 was published with.
struct PanAndScan {
    std::uint32_t min_crop_size = 256; // shortest side of a crop, in pixels; a picture whose crops would be smaller gets none
    std::uint32_t max_crops = 4;       // 1 to 16
    double min_ratio = 1.2;            // longer side over shorter side from which a picture gets crops
};

// One message of a conversation.
struct Message {
    std::string role;        // "system", "user", "assistant", "tool", or what else the model's template knows
    std::string content;
    std::string fields_json = {}; // further fields of the template (`tool_calls` ...) as a JSON object; empty for none
    std::vector<Picture> pictures = {}; // what it shows: where `content` has "<start_of_image>" for each, else before it
};

// What a template is given besides the messages.
struct ChatOptions {
    bool add_generation_prompt = true; // the prompt ends where the answer begins
    std::string tools_json;            // a JSON array; empty for none
    std::string variables_json;        // a JSON object; empty for none
    std::int64_t now = 0;              // seconds since 1970 in the user's time zone, for templates that tell the date
};

namespace detail {

inline const char *or_null(const std::string &text) noexcept { return text.empty() ? nullptr : text.data(); }

inline std::vector<const siskin_picture *> raw(const std::vector<Picture> &pictures) {
    std::vector<const siskin_picture *> out;
    for (const Picture &picture : pictures) {
        out.push_back(picture.raw());
    }
    return out;
}

// A conversation as C sees it; it points into `messages` and `options`.
struct RawChat {
    std::vector<siskin_message> raw_messages;
    std::vector<std::vector<const siskin_picture *>> shown;
    siskin_chat chat = sized<siskin_chat>();

    RawChat(const std::vector<Message> &messages, const ChatOptions &options) {
        for (const Message &message : messages) {
            auto raw = sized<siskin_message>();
            raw.role = message.role.data(), raw.role_len = message.role.size();
            raw.content = message.content.data(), raw.content_len = message.content.size();
            raw.fields_json = or_null(message.fields_json), raw.fields_json_len = message.fields_json.size();
            shown.push_back(detail::raw(message.pictures));
            raw.pictures = shown.back().data(), raw.picture_count = shown.back().size();
            raw_messages.push_back(raw);
        }
        chat.add_generation_prompt = options.add_generation_prompt;
        chat.messages = raw_messages.data(), chat.message_count = raw_messages.size();
        chat.tools_json = or_null(options.tools_json), chat.tools_json_len = options.tools_json.size();
        chat.variables_json = or_null(options.variables_json), chat.variables_json_len = options.variables_json.size();
        chat.now = options.now;
    }
};

} // namespace detail

// What a job is asked.
class Prompt {
public:
    // A whole conversation, by the model's template. What the session holds of it already is not computed again.
    static Prompt chat(std::vector<Message> messages, ChatOptions options = {}) {
        Prompt out(Kind::chat);
        out.messages_ = std::move(messages);
        out.options_ = std::move(options);
        return out;
    }
    // Text behind what the session holds. `parse_special`: texts of special tokens in it become those tokens.
    // `pictures` stand where it has "<start_of_image>" for each, if it is parsed for special tokens, else before it.
    static Prompt text(std::string_view text, bool parse_special = false, std::vector<Picture> pictures = {}) {
        Prompt out(Kind::text);
        out.text_ = text;
        out.parse_special_ = parse_special;
        out.pictures_ = std::move(pictures);
        return out;
    }
    // Tokens behind what the session holds; without any, the last answer goes on.
    static Prompt tokens(std::vector<Token> tokens) {
        Prompt out(Kind::tokens);
        out.tokens_ = std::move(tokens);
        return out;
    }

private:
    friend class Session;
    enum class Kind { chat, text, tokens };
    explicit Prompt(Kind kind) : kind_(kind) {}

    Kind kind_;
    std::vector<Message> messages_;
    ChatOptions options_;
    std::string text_;
    bool parse_special_ = false;
    std::vector<Picture> pictures_;
    std::vector<Token> tokens_;
};

enum class StopReason : std::uint32_t {
    end_of_turn = SISKIN_STOP_END_OF_TURN,
    stop_string = SISKIN_STOP_STRING,
    max_tokens = SISKIN_STOP_MAX_TOKENS,
    context_full = SISKIN_STOP_CONTEXT_FULL,
    cancelled = SISKIN_STOP_CANCELLED,
    caller = SISKIN_STOP_CALLER,
};

// How a job ended.
struct Outcome {
    StopReason reason{};
    std::uint64_t prompt_tokens = 0, generated_tokens = 0;
    std::chrono::nanoseconds prefill_time{}, decode_time{};

    static Outcome from(const siskin_outcome &raw) noexcept {
        return {static_cast<StopReason>(raw.reason), raw.prompt_tokens, raw.generated_tokens,
                std::chrono::nanoseconds(raw.prefill_ns), std::chrono::nanoseconds(raw.decode_ns)};
    }
};

// Something that happened. Which fields mean something depends on `kind`.
struct Event {
    enum class Kind : std::uint32_t {
        prefill = SISKIN_EVENT_PREFILL, // `done` of `total` prompt tokens are read
        token = SISKIN_EVENT_TOKEN,     // `token` was chosen; `logprob` if that was asked for
        text = SISKIN_EVENT_TEXT,       // `text` is certain: whole characters, valid until the next event
        done = SISKIN_EVENT_DONE,       // the end, always the last: `outcome`
    };
    Kind kind{};
    Token token = 0;
    std::optional<float> logprob;
    std::string_view text;
    std::uint64_t done = 0, total = 0;
    std::optional<Outcome> outcome;

    static Event from(const siskin_event &raw) noexcept {
        Event out;
        out.kind = static_cast<Kind>(raw.kind);
        out.token = raw.token;
        if (out.kind == Kind::token && !std::isnan(raw.logprob)) {
            out.logprob = raw.logprob;
        }
        if (raw.text != nullptr) {
            out.text = std::string_view(raw.text, raw.text_len);
        }
        out.done = raw.done, out.total = raw.total;
        if (raw.outcome != nullptr) {
            out.outcome = Outcome::from(*raw.outcome);
        }
        return out;
    }
};

// One answer in the making: either run it, or pull from it with `for` or next().
class Job {
public:
    // Does the work on this thread, telling `on_event(const Event &)` everything. Where it returns a bool, false stops the
    // job; what it throws stops the job too and comes out here.
    template <class F>
    Outcome run(F &&on_event) {
        struct State {
            std::remove_reference_t<F> *function;
            std::exception_ptr thrown;
        } state{&on_event, nullptr};
        const siskin_event_fn trampoline = [](void *userdata, const siskin_event *raw) -> bool {
            State &s = *static_cast<State *>(userdata);
            if (s.thrown) {
                return false;
            }
            try {
                if constexpr (std::is_void_v<std::invoke_result_t<F &, const Event &>>) {
                    (*s.function)(Event::from(*raw));
                    return true;
                } else {
                    return static_cast<bool>((*s.function)(Event::from(*raw)));
                }
            } catch (...) {
                s.thrown = std::current_exception();
                return false;
            }
        };
        auto outcome = detail::sized<siskin_outcome>();
        siskin_error *error = nullptr;
        const siskin_result result = siskin_job_run(handle_.get(), trampoline, &state, &outcome, &error);
        if (state.thrown) {
            siskin_error_free(error);
            std::rethrow_exception(state.thrown);
        }
        detail::check(result, error);
        return Outcome::from(outcome);
    }

    // Starts the work on a thread of the library's; pulling does so too.
    void start() { detail::call(siskin_job_start, handle_.get()); }

    // The next event: waits for it at most so long. None if time ran out, or after the last.
    std::optional<Event> next(std::chrono::milliseconds timeout) { return pull(timeout.count() < 0 ? 0 : timeout.count()); }
    // The same, as long as it takes. None after the last.
    std::optional<Event> next() { return pull(-1); }

    // Events, as long as it takes, to the last.
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Event;
        using difference_type = std::ptrdiff_t;
        using pointer = const Event *;
        using reference = const Event &;

        Iterator() = default;
        explicit Iterator(Job &job) : job_(&job) { ++*this; }
        reference operator*() const noexcept { return *event_; }
        pointer operator->() const noexcept { return &*event_; }
        Iterator &operator++() {
            event_ = job_->next();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const Iterator &a, const Iterator &b) noexcept { return a.event_.has_value() == b.event_.has_value(); }
        friend bool operator!=(const Iterator &a, const Iterator &b) noexcept { return !(a == b); }

    private:
        Job *job_ = nullptr;
        std::optional<Event> event_;
    };
    Iterator begin() { return Iterator(*this); }
    Iterator end() const noexcept { return Iterator(); }

    // How it ended, if it has; throws if it failed.
    std::optional<Outcome> outcome() const {
        auto raw = detail::sized<siskin_outcome>();
        bool ended = false;
        detail::call(siskin_job_get_outcome, handle_.get(), &raw, &ended);
        return ended ? std::optional<Outcome>(Outcome::from(raw)) : std::nullopt;
    }

    // From any thread, at any time, any number of times, also from a signal handler.
    void cancel() const noexcept { siskin_job_cancel(handle_.get()); }

    // For functions of siskin.h.
    siskin_job *raw() const noexcept { return handle_.get(); }

private:
    friend class Session;
    explicit Job(siskin_job *raw) noexcept : handle_(raw) {}

    std::optional<Event> pull(std::int64_t timeout_ms) {
        if (at_ == count_ && !done_) {
            at_ = count_ = 0;
            detail::call(siskin_job_next, handle_.get(), timeout_ms, &events_, &count_);
        }
        if (at_ == count_) {
            return std::nullopt;
        }
        Event event = Event::from(*events_[at_++]);
        done_ = event.kind == Event::Kind::done;
        return event;
    }

    detail::Handle<siskin_job, siskin_job_free> handle_;
    const siskin_event *const *events_ = nullptr; // what came and was not looked at: from `at_` to `count_`
    std::size_t at_ = 0, count_ = 0;
    bool done_ = false;
};

// What a model has read.
class Session {
public:
    // Prepares an answer. Nothing is computed yet.
    Job job(const Prompt &prompt, const GenerateOptions &options = {}) {
        auto raw = detail::sized<siskin_prompt>();
        const detail::RawChat chat(prompt.messages_, prompt.options_);
        const std::vector<const siskin_picture *> pictures = detail::raw(prompt.pictures_);
        const Token none = 0;
        switch (prompt.kind_) {
        case Prompt::Kind::chat: raw.chat = &chat.chat; break;
        case Prompt::Kind::text:
            raw.text = prompt.text_.data(), raw.text_len = prompt.text_.size();
            raw.parse_special = prompt.parse_special_;
            raw.pictures = pictures.data(), raw.picture_count = pictures.size();
            break;
        case Prompt::Kind::tokens:
            raw.tokens = prompt.tokens_.empty() ? &none : prompt.tokens_.data(), raw.token_count = prompt.tokens_.size();
            break;
        }
        const detail::RawGenerate raw_options(options);
        siskin_job *out = nullptr;
        detail::call(siskin_job_new, handle_.get(), &raw, &raw_options.options, &out);
        return Job(out);
    }

    // Prepares what goes between the prefix and the suffix of a text; the session is that text's from then on. `cut`, if not
    // NULL, gets what the prompt had no room for.
    Job fim(const FimRequest &request, const GenerateOptions &options = {}, siskin_fim_cut *cut = nullptr) {
        auto raw = detail::sized<siskin_fim_request>();
        raw.prefix = request.prefix.data(), raw.prefix_len = request.prefix.size();
        raw.suffix = request.suffix.data(), raw.suffix_len = request.suffix.size();
        if (request.path) {
            raw.path = request.path->data(), raw.path_len = request.path->size();
        }
        if (request.repo) {
            raw.repo = request.repo->data(), raw.repo_len = request.repo->size();
        }
        std::vector<siskin_fim_file> files;
        for (const FimRequest::File &file : request.files) {
            auto raw_file = detail::sized<siskin_fim_file>();
            raw_file.path = file.path.data(), raw_file.path_len = file.path.size();
            raw_file.text = file.text.data(), raw_file.text_len = file.text.size();
            files.push_back(raw_file);
        }
        raw.files = files.data(), raw.file_count = files.size();
        auto left_out = detail::sized<siskin_fim_cut>();
        const detail::RawGenerate raw_options(options);
        siskin_job *out = nullptr;
        detail::call(siskin_job_new_fim, handle_.get(), &raw, &raw_options.options, &left_out, &out);
        if (cut != nullptr) {
            *cut = left_out;
        }
        return Job(out);
    }

    // Tokens that it holds.
    std::size_t position() const {
        std::size_t out = 0;
        detail::check(siskin_session_position(handle_.get(), &out));
        return out;
    }
    // Tokens that still fit.
    std::size_t room() const {
        std::size_t out = 0;
        detail::check(siskin_session_room(handle_.get(), &out));
        return out;
    }
    std::vector<Token> tokens() const {
        detail::Tokens out;
        detail::call(siskin_session_tokens, handle_.get(), out.out());
        return detail::tokens(out);
    }
    // Logits of the last token, one for each row of the model's output; empty if nothing was read yet.
    std::vector<float> logits() const {
        std::size_t len = 0;
        siskin_error *error = nullptr;
        const siskin_result result = siskin_session_logits(handle_.get(), nullptr, 0, &len, &error);
        if (len == 0) {
            detail::check(result, error);
            return {};
        }
        siskin_error_free(error); // too little room, of course
        std::vector<float> out(len);
        detail::call(siskin_session_logits, handle_.get(), out.data(), out.size(), &len);
        return out;
    }
    // Forgets every token from number `tokens` on; how many are left (none if a layer with a window forgot so much).
    std::size_t truncate(std::size_t tokens) {
        std::size_t out = 0;
        detail::check(siskin_session_truncate(handle_.get(), tokens, &out));
        return out;
    }
    // What it takes.
    siskin_fit fit() const {
        auto out = detail::sized<siskin_fit>();
        detail::check(siskin_session_get_fit(handle_.get(), &out));
        return out;
    }

    siskin_session *raw() const noexcept { return handle_.get(); }

private:
    friend class Model;
    explicit Session(siskin_session *raw) noexcept : handle_(raw) {}

    detail::Handle<siskin_session, siskin_session_free> handle_;
};

// Turns texts into vectors. Any thread may use it; one call at a time, another meanwhile throws.
class Embedder {
public:
    // How many numbers a vector has.
    std::size_t dimensions() const {
        std::size_t out = 0;
        detail::check(siskin_embedder_dimensions(handle_.get(), &out));
        return out;
    }
    // The vector of a text. Words that the model expects before it are the caller's to write.
    std::vector<float> embed(std::string_view text) {
        std::vector<float> out(dimensions());
        detail::call(siskin_embedder_embed, handle_.get(), text.data(), text.size(), out.data(), out.size());
        return out;
    }
    // Cancels the call that runs, if one does; from any thread.
    void cancel() const { detail::check(siskin_embedder_cancel(handle_.get())); }

    siskin_embedder *raw() const noexcept { return handle_.get(); }

private:
    friend class Model;
    explicit Embedder(siskin_embedder *raw) noexcept : handle_(raw) {}

    detail::Handle<siskin_embedder, siskin_embedder_free> handle_;
};

// Tells how probable it is that texts violate policies. Any thread may use it; one call at a time, another meanwhile throws.
class Moderator {
public:
    // Probabilities, 0 to 1, in the order of `policies`: for the response that a chatbot gave to the prompt, or without one
    // for the prompt that a user wrote.
    std::vector<double> moderate(std::string_view prompt, const std::vector<Policy> &policies,
                                 std::optional<std::string_view> response = std::nullopt) {
        std::vector<siskin_policy> raw;
        for (const Policy &policy : policies) {
            auto raw_policy = detail::sized<siskin_policy>();
            raw_policy.name = policy.name.data(), raw_policy.name_len = policy.name.size();
            if (policy.guideline) {
                raw_policy.guideline = policy.guideline->data(), raw_policy.guideline_len = policy.guideline->size();
            }
            raw.push_back(raw_policy);
        }
        std::vector<double> out(policies.size() + 1); // not empty, so that there is a pointer
        const std::string_view text = response.value_or(std::string_view());
        const char *const data = !response ? nullptr : text.data() != nullptr ? text.data() : "";
        detail::call(siskin_moderator_moderate, handle_.get(), prompt.data(), prompt.size(), data, text.size(), raw.data(), raw.size(), out.data());
        out.pop_back();
        return out;
    }
    // Cancels the call that runs, if one does; from any thread.
    void cancel() const { detail::check(siskin_moderator_cancel(handle_.get())); }

    siskin_moderator *raw() const noexcept { return handle_.get(); }

private:
    friend class Model;
    explicit Moderator(siskin_moderator *raw) noexcept : handle_(raw) {}

    detail::Handle<siskin_moderator, siskin_moderator_free> handle_;
};

// A model's eyes: the vision tower and projector from a file of their own ("mmproj"). Any thread may use it.
class Vision {
public:
    // A picture of `width` x `height` pixels: rows from the top, red, green and blue for each pixel. With `crops` (as
    // pan_and_scan() has them, or others) parts of a long one are shown, too; each takes as long and as many positions.
    Picture picture(std::uint32_t width, std::uint32_t height, const std::uint8_t *rgb, std::size_t len,
                    const std::optional<PanAndScan> &crops = std::nullopt) const {
        siskin_picture *out = nullptr;
        const siskin_picture_options options = raw_options(crops);
        detail::call(siskin_picture_new_rgb_with, handle_.get(), width, height, rgb, len, &options, &out);
        return Picture(out);
    }
    // A picture from the bytes of a PNG or JPEG file, upright as its camera says.
    Picture picture(const void *data, std::size_t len, const std::optional<PanAndScan> &crops = std::nullopt) const {
        siskin_picture *out = nullptr;
        const siskin_picture_options options = raw_options(crops);
        detail::call(siskin_picture_open_bytes_with, handle_.get(), static_cast<const std::uint8_t *>(data), len, &options, &out);
        return Picture(out);
    }
    // The numbers that the model was published with.
    PanAndScan pan_and_scan() const {
        const siskin_picture_options options = raw_options(std::nullopt);
        return {options.min_crop_size, options.max_crops, options.min_ratio};
    }
    siskin_vision_info info() const {
        auto out = detail::sized<siskin_vision_info>();
        detail::check(siskin_vision_get_info(handle_.get(), &out));
        return out;
    }

    siskin_vision *raw() const noexcept { return handle_.get(); }

private:
    friend class Model;
    explicit Vision(siskin_vision *raw) noexcept : handle_(raw) {}

    siskin_picture_options raw_options(const std::optional<PanAndScan> &crops) const {
        auto out = detail::sized<siskin_picture_options>();
        detail::check(siskin_picture_options_init(handle_.get(), &out));
        if (crops) {
            out.pan_and_scan = 1;
            out.min_crop_size = crops->min_crop_size, out.max_crops = crops->max_crops, out.min_ratio = crops->min_ratio;
        }
        return out;
    }

    detail::Handle<siskin_vision, siskin_vision_free> handle_;
};

// An open model: immutable, shared by sessions, which keep what they need of it.
class Model {
public:
    // Opens the file at `path`. It is mapped, not read: it must not be shortened or written to while it is open.
    static Model open(std::string_view path, const ModelOptions &options = {}) {
        return with(options, [&](const siskin_model_options *o, siskin_model **out) {
            detail::call(siskin_model_open_path, path.data(), path.size(), o, out);
        });
    }
    // Opens `length` bytes from byte `offset` of a file descriptor, which is duplicated.
    static Model open_fd(int fd, std::uint64_t offset, std::uint64_t length, const ModelOptions &options = {}) {
        return with(options, [&](const siskin_model_options *o, siskin_model **out) {
            detail::call(siskin_model_open_fd, fd, offset, length, o, out);
        });
    }
    // Opens bytes in memory, which are copied.
    static Model open_bytes(const void *data, std::size_t len, const ModelOptions &options = {}) {
        return with(options, [&](const siskin_model_options *o, siskin_model **out) {
            const siskin_release_fn copied = nullptr;
            void *const nothing = nullptr;
            detail::call(siskin_model_open_bytes, static_cast<const std::uint8_t *>(data), len, copied, nothing, o, out);
        });
    }

    Session session(const SessionOptions &options = {}) const {
        const siskin_session_options raw = options.raw();
        siskin_session *out = nullptr;
        detail::call(siskin_session_new, handle_.get(), &raw, &out);
        return Session(out);
    }
    Embedder embedder(const EmbedOptions &options = {}) const {
        const siskin_embed_options raw = options.raw();
        siskin_embedder *out = nullptr;
        detail::call(siskin_embedder_new, handle_.get(), &raw, &out);
        return Embedder(out);
    }
    // Whether it was trained to fill in the middle.
    bool fills_in() const {
        bool out = false;
        detail::check(siskin_model_fills_in(handle_.get(), &out));
        return out;
    }
    // With `any_model` also of a model that does not say that it is a classifier of this kind.
    Moderator moderator(bool any_model = false) const {
        auto raw = detail::sized<siskin_moderate_options>();
        detail::check(siskin_moderate_options_init(&raw));
        raw.any_model = any_model ? 1 : 0;
        siskin_moderator *out = nullptr;
        detail::call(siskin_moderator_new, handle_.get(), &raw, &out);
        return Moderator(out);
    }
    // Opens the model's eyes from a path, from part of an open file, from bytes in memory, which are copied.
    Vision vision(std::string_view path) const {
        siskin_vision *out = nullptr;
        detail::call(siskin_vision_open_path, handle_.get(), path.data(), path.size(), &out);
        return Vision(out);
    }
    Vision vision_fd(int fd, std::uint64_t offset, std::uint64_t length) const {
        siskin_vision *out = nullptr;
        detail::call(siskin_vision_open_fd, handle_.get(), fd, offset, length, &out);
        return Vision(out);
    }
    Vision vision_bytes(const void *data, std::size_t len) const {
        siskin_vision *out = nullptr;
        const siskin_release_fn copied = nullptr;
        void *const nothing = nullptr;
        detail::call(siskin_vision_open_bytes, handle_.get(), static_cast<const std::uint8_t *>(data), len, copied, nothing, &out);
        return Vision(out);
    }
    // Will it fit? What such a session needs; nothing is allocated.
    siskin_fit fit(const SessionOptions &options = {}) const {
        const siskin_session_options raw = options.raw();
        auto out = detail::sized<siskin_fit>();
        detail::call(siskin_model_get_fit, handle_.get(), &raw, &out);
        return out;
    }
    siskin_model_info info() const {
        auto out = detail::sized<siskin_model_info>();
        detail::check(siskin_model_get_info(handle_.get(), &out));
        return out;
    }
    // The keys of the file's metadata, and the value of one as JSON; none if there is no such key.
    std::vector<std::string> metadata_keys() const {
        std::size_t count = 0;
        detail::check(siskin_model_metadata_count(handle_.get(), &count));
        std::vector<std::string> out;
        for (std::size_t i = 0; i < count; i++) {
            detail::Text text;
            detail::call(siskin_model_metadata_key, handle_.get(), i, text.out());
            out.push_back(detail::text(text));
        }
        return out;
    }
    std::optional<std::string> metadata(std::string_view key) const {
        detail::Text out;
        siskin_error *error = nullptr;
        const siskin_result result = siskin_model_metadata_value(handle_.get(), key.data(), key.size(), out.out(), &error);
        if (result == SISKIN_RESULT_MISSING) {
            siskin_error_free(error);
            return std::nullopt;
        }
        detail::check(result, error);
        return detail::text(out);
    }

    // `add_special` adds the begin and end tokens that the file asks for; with `parse_special` the texts of special tokens
    // become those tokens.
    std::vector<Token> tokenize(std::string_view text, bool add_special = false, bool parse_special = false) const {
        detail::Tokens out;
        detail::call(siskin_model_tokenize, handle_.get(), text.data(), text.size(), add_special, parse_special, out.out());
        return detail::tokens(out);
    }
    std::string detokenize(const std::vector<Token> &tokens, bool show_special = false) const {
        detail::Text out;
        detail::call(siskin_model_detokenize, handle_.get(), tokens.data(), tokens.size(), show_special, out.out());
        return detail::text(out);
    }
    // The text of one token as the vocabulary has it.
    std::string token_text(Token token) const {
        detail::Text out;
        detail::call(siskin_model_token_text, handle_.get(), token, out.out());
        return detail::text(out);
    }
    std::optional<Token> begin_token() const { return special(siskin_model_begin_token); }
    std::optional<Token> end_token() const { return special(siskin_model_end_token); }
    bool ends_turn(Token token) const {
        bool out = false;
        detail::check(siskin_model_ends_turn(handle_.get(), token, &out));
        return out;
    }

    // The prompt of a conversation as the template writes it, and the template itself.
    std::string render(const std::vector<Message> &messages, const ChatOptions &options = {}) const {
        const detail::RawChat chat(messages, options);
        detail::Text out;
        detail::call(siskin_model_render, handle_.get(), &chat.chat, out.out());
        return detail::text(out);
    }
    // Its tokens, as a job with this conversation reads them.
    std::vector<Token> conversation(const std::vector<Message> &messages, const ChatOptions &options = {}) const {
        const detail::RawChat chat(messages, options);
        detail::Tokens out;
        detail::call(siskin_model_conversation, handle_.get(), &chat.chat, out.out());
        return detail::tokens(out);
    }
    std::string chat_template() const {
        detail::Text out;
        detail::call(siskin_model_chat_template, handle_.get(), out.out());
        return detail::text(out);
    }

    // How hot and how short of memory the device is.
    void set_thermal(siskin_thermal thermal) const { detail::check(siskin_model_set_thermal(handle_.get(), static_cast<std::uint32_t>(thermal))); }
    std::uint32_t active_threads() const {
        std::uint32_t out = 0;
        detail::check(siskin_model_active_threads(handle_.get(), &out));
        return out;
    }
    void relieve(siskin_pressure pressure) const { detail::check(siskin_model_relieve(handle_.get(), static_cast<std::uint32_t>(pressure))); }

    siskin_model *raw() const noexcept { return handle_.get(); }

private:
    explicit Model(siskin_model *raw) noexcept : handle_(raw) {}

    // Calls `open(options, out)` with the options as C sees them.
    template <class Open>
    static Model with(const ModelOptions &options, Open open) {
        auto raw = detail::sized<siskin_model_options>();
        detail::check(siskin_model_options_init(&raw));
        raw.threads = options.threads;
        raw.kernels = detail::or_null(options.kernels), raw.kernels_len = options.kernels.size();
        raw.log_level = static_cast<std::uint32_t>(options.log_level);
        raw.experts = static_cast<std::uint32_t>(options.experts);
        std::unique_ptr<detail::LogFunction> log;
        if (options.log) {
            log = std::make_unique<detail::LogFunction>(options.log);
            raw.log = [](void *userdata, std::uint32_t level, const char *text, std::size_t len) {
                (*static_cast<detail::LogFunction *>(userdata))(static_cast<siskin_log_level>(level), std::string_view(text, len));
            };
            raw.log_userdata = log.get();
            raw.log_release = [](void *userdata) { delete static_cast<detail::LogFunction *>(userdata); };
            log.release(); // from here on the library's, also if the call fails
        }
        siskin_model *out = nullptr;
        open(&raw, &out);
        return Model(out);
    }

    template <class Function>
    std::optional<Token> special(Function function) const {
        Token out = 0;
        const siskin_result result = function(handle_.get(), &out);
        if (result == SISKIN_RESULT_MISSING) {
            return std::nullopt;
        }
        detail::check(result);
        return out;
    }

    detail::Handle<siskin_model, siskin_model_free> handle_;
};

} // namespace siskin

#endif
