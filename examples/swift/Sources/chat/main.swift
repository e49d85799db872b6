// A conversation in the terminal: chat MODEL. Ctrl-D ends.
// With SISKIN_TOKENS=24 in the environment it answers greedily with at most 24 tokens and prints their ids after each
// answer.

import Foundation
import Siskin

/// Token ids as they come: the stream tells them on one of its threads.
final class Ids: @unchecked Sendable {
    private let lock = NSLock()
    private var ids: [UInt32] = []

    func hear(_ event: Event) {
        guard case .token(let id, _) = event else { return }
        lock.lock()
        ids.append(id)
        lock.unlock()
    }

    func take() -> [UInt32] {
        lock.lock()
        defer {
            ids = []
            lock.unlock()
        }
        return ids
    }
}

func write(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
}

func run() async throws {
    guard CommandLine.arguments.count == 2 else {
        FileHandle.standardError.write(Data("usage: chat MODEL\n".utf8))
        exit(2)
    }
    var options = GenerateOptions()
    let most = ProcessInfo.processInfo.environment["SISKIN_TOKENS"].flatMap(UInt64.init)
    if let most {
        options = GenerateOptions(maxTokens: most, sampler: SamplerConfig(temperature: 0))
    }
    let model = try await Model.load(URL(fileURLWithPath: CommandLine.arguments[1]))
    let chat = Chat(try model.session(), system: "You are a helpful assistant.")
    let ids = Ids()
    while let line = readLine() {
        for try await text in chat.ask(line, options: options, heard: { ids.hear($0) }) {
            write(text)
        }
        write("\n")
        let said = ids.take()
        if most != nil {
            write("tokens: " + said.map(String.init).joined(separator: ",") + "\n")
        }
    }
}

do {
    try await run()
} catch let error as SiskinError {
    FileHandle.standardError.write(Data("error: \(error.reason)\n".utf8))
    exit(1)
}
