// A conversation in C++17: answers stream as they come, Ctrl-C cancels an answer.
//
//     c++ -std=c++17 chat.cpp -o chat $(pkg-config --cflags --libs siskin)
//     ./chat model.gguf                       # reads messages from standard input, one per line
//     ./chat model.gguf "What is a finch?"    # one answer
//
// SISKIN_TOKENS=24 in the environment: answers greedily, at most 24 tokens, and prints their ids (for tests).
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <siskin.hpp>
#include <string>
#include <vector>

static std::atomic<siskin_job *> current{nullptr}; // what Ctrl-C cancels

static void on_interrupt(int) {
    if (siskin_job_cancel(current) != SISKIN_RESULT_OK) {
        std::_Exit(130); // there is no answer to cancel
    }
}

int main(int argc, char **argv) try {
    if (argc < 2) {
        std::cerr << "usage: " << argv[0] << " MODEL [PROMPT]\n";
        return 2;
    }
    const siskin::Model model = siskin::Model::open(argv[1]);
    siskin::Session session = model.session();
    siskin::GenerateOptions options;
    const char *limit = std::getenv("SISKIN_TOKENS");
    if (limit != nullptr) {
        options = siskin::GenerateOptions::greedy();
        options.max_tokens = std::strtoull(limit, nullptr, 10);
    }
    std::signal(SIGINT, on_interrupt);

    std::vector<siskin::Message> messages{{"system", "You are a helpful assistant."}};
    std::string line = argc > 2 ? argv[2] : "";
    while (argc > 2 ? messages.size() == 1 : static_cast<bool>(std::getline(std::cin, line))) {
        messages.push_back({"user", line});
        std::string answer;
        std::vector<siskin::Token> tokens;
        siskin::Job job = session.job(siskin::Prompt::chat(messages), options);
        current = job.raw();
        for (const siskin::Event &event : job) {
            if (event.kind == siskin::Event::Kind::token) {
                tokens.push_back(event.token);
            } else if (event.kind == siskin::Event::Kind::text) {
                answer += event.text;
                std::cout << event.text << std::flush;
            }
        }
        std::cout << '\n';
        if (limit != nullptr) {
            std::cout << "tokens: ";
            for (std::size_t i = 0; i < tokens.size(); i++) {
                std::cout << (i == 0 ? "" : ",") << tokens[i];
            }
            std::cout << '\n';
        }
        messages.push_back({"assistant", std::move(answer)});
    }
    return 0;
} catch (const siskin::Error &error) {
    std::cerr << "chat: " << error.what() << '\n'; // what, which file, which key, tensor and offset
    return 1;
}
