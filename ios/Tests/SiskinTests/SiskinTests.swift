// What the Swift package promises, run for real. SISKIN_SCRIPT names the model that `cargo xtask script-model` writes: it
// always says the same.

import Foundation
import XCTest

@testable import Siskin

let scriptPath = ProcessInfo.processInfo.environment["SISKIN_SCRIPT"] ?? "script.gguf"
let expectedText = " Hello 🐦,\u{FFFD} and\u{FFFD} bye!\u{FFFD}"
let greedy = GenerateOptions(sampler: SamplerConfig(temperature: 0))
let endless = GenerateOptions(stopAtEndOfTurn: false)
let longPrompt = Prompt.tokens(tokens: (0..<4000).map { UInt32($0 % 17 + 3) })

final class SiskinTests: XCTestCase {
    func script(_ options: SessionOptions = SessionOptions()) throws -> Session {
        try Model.open(path: scriptPath).session(options: options)
    }

    func testCharactersArriveWholeAndOtherBytesAsReplacements() async throws {
        var pieces: [String] = []
        for try await piece in try script().ask("hi", options: greedy) {
            pieces.append(piece)
        }
        XCTAssertEqual(pieces.joined(), expectedText)
        XCTAssertTrue(pieces.contains { $0.contains("🐦") })
    }

    func testEventsComeInOrderAndEndWithDone() async throws {
        var options = greedy
        options.logprobs = true
        var events: [Event] = []
        for try await event in try script().generate(.text(text: "hi", parseSpecial: false), options: options) {
            events.append(event)
        }
        guard case .prefill = events.first, case .done(let outcome) = events.last else {
            return XCTFail("\(events)")
        }
        XCTAssertEqual(outcome.reason, .endOfTurn)
        let logprobs = events.compactMap { event -> Float? in
            if case .token(_, let logprob) = event { return logprob } else { return nil }
        }
        XCTAssertEqual(UInt64(logprobs.count), outcome.stats.generatedTokens)
        XCTAssertTrue(logprobs.allSatisfy { $0 <= 0 })
    }

    func testErrorsComeThroughTheStreamAndSayWhere() async throws {
        let session = try script(SessionOptions(context: 16))
        do {
            for try await _ in session.generate(longPrompt) {}
            XCTFail("no error")
        } catch let error as SiskinError {
            guard case .ContextFull = error else { return XCTFail("\(error)") }
        }
        do {
            for try await _ in session.ask("hi", options: GenerateOptions(sampler: SamplerConfig(temperature: -1))) {}
            XCTFail("no error")
        } catch let error as SiskinError {
            guard case .Argument = error else { return XCTFail("\(error)") }
        }
        XCTAssertThrowsError(try Model.open(path: "no-such-model.gguf")) { error in
            guard case SiskinError.Io(let reason, let file, _, _, _) = error else { return XCTFail("\(error)") }
            XCTAssertEqual(file, "no-such-model.gguf")
            XCTAssertEqual((error as? SiskinError)?.reason, reason)
        }
        XCTAssertThrowsError(try Model.openBytes(bytes: Data("GGUF".utf8))) { error in
            guard case SiskinError.Format = error else { return XCTFail("\(error)") }
        }
    }

    func testBusyWhileAJobRuns() async throws {
        let session = try script()
        let stream = session.generate(.text(text: "hi", parseSpecial: false), options: endless)
        var reader = stream.makeAsyncIterator()
        _ = try await reader.next()
        XCTAssertThrowsError(try session.position()) { error in
            guard case SiskinError.Busy = error else { return XCTFail("\(error)") }
        }
    }

    func testDroppingTheStreamCancels() async throws {
        let session = try script()
        for _ in 0..<5 {
            for try await event in session.generate(.text(text: "hi", parseSpecial: false), options: endless) {
                if case .token = event { break }
            }
            try await untilFree(session)
        }
    }

    func testAStreamThatNobodyReadsComputesNothing() async throws {
        let session = try script()
        _ = session.generate(longPrompt)
        XCTAssertEqual(try session.position(), 0)
    }

    func testACancelledTaskGetsNoAnswer() async throws {
        let session = try script()
        let reader = Task { () -> Int in
            while !Task.isCancelled { await Task.yield() }
            var tokens = 0
            for try await event in session.generate(longPrompt) {
                if case .token = event { tokens += 1 }
            }
            return tokens
        }
        reader.cancel()
        let tokens = try await reader.value
        XCTAssertEqual(tokens, 0)
        try await untilFree(session)
    }

    func testFreeingABusySessionReturnsAtOnce() async throws {
        var session: Session? = try script()
        let job = try session!.job(prompt: longPrompt)
        try job.start()
        let started = Date()
        session = nil
        XCTAssertLessThan(Date().timeIntervalSince(started), 0.05)
        var last: Event?
        while let event = try job.nextBatch().last { last = event }
        guard case .done(let outcome) = last else { return XCTFail("\(String(describing: last))") }
        XCTAssertEqual(outcome.reason, .cancelled)
    }

    func testSources() async throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: scriptPath))
        let packed = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: packed) }
        try (Data(count: 4096) + data + Data(count: 100)).write(to: packed)
        let file = try FileHandle(forReadingFrom: packed)
        var models = [try Model.open(file, offset: 4096, length: UInt64(data.count))]
        XCTAssertThrowsError(try Model.open(file, offset: 0))
        try file.close()
        models.append(try Model.openBytes(bytes: data))
        models.append(try await Model.load(URL(fileURLWithPath: scriptPath)))
        for model in models {
            var text = ""
            for try await piece in try model.session().ask("hi", options: greedy) { text += piece }
            XCTAssertEqual(text, expectedText)
        }
        XCTAssertThrowsError(try Model.openFd(fd: -1, offset: 0, length: 1))
        XCTAssertThrowsError(try Model.open(resource: "no such")) { error in
            guard case SiskinError.Io = error else { return XCTFail("\(error)") }
        }
    }

    func testToolsAreJson() throws {
        let weather = Tool(
            name: "weather", description: "The weather of a place",
            parameters: ["type": "object", "properties": ["place": ["type": "string"]], "required": ["place"]])
        let options = try RenderOptions(tools: [weather], variables: ["enable_thinking": false])
        let tools = try JSONDecoder().decode([Tool].self, from: Data(try XCTUnwrap(options.tools).utf8))
        XCTAssertEqual(tools, [weather])
        XCTAssertEqual(options.variables, #"{"enable_thinking":false}"#)
        let model = try Model.open(path: scriptPath)
        XCTAssertEqual(try model.render(messages: [.user("hi")], options: options), "<|user|>hi</s><|assistant|>")
        XCTAssertThrowsError(try model.render(messages: [.user("hi")], options: RenderOptions(tools: "{}")))
    }

    func testTextsBecomeVectors() throws {
        let model = try Model.open(path: scriptPath)
        XCTAssertThrowsError(try model.embedder()) // the file does not say how
        let embedder = try model.embedder(options: EmbedOptions(pooling: .last))
        embedder.cancel() // nothing runs
        XCTAssertEqual(try embedder.embed(text: "hello"), (0..<128).map { $0 == 14 ? 1 : 0 })
        XCTAssertEqual(embedder.dimensions(), 128)
        XCTAssertThrowsError(try embedder.embed(text: String(repeating: "a", count: 9000)))
        let short = try model.embedder(options: EmbedOptions(pooling: .mean, dimensions: 15))
        XCTAssertEqual(try short.embed(text: "x").count, 15)
    }

    func testTokensAndMetadata() throws {
        let model = try Model.open(path: scriptPath)
        XCTAssertEqual(model.metadata(key: "general.name"), "\"A script for tests\"")
        let tokens = try model.tokenize(text: "Hello 🐦", addSpecial: false)
        XCTAssertEqual(try model.detokenize(tokens: tokens).trimmingCharacters(in: .whitespaces), "Hello 🐦")
        XCTAssertEqual(model.tokenText(id: try XCTUnwrap(model.specialTokens().eos)), "</s>")
        let fit = try model.fit(options: SessionOptions(context: 1000))
        XCTAssertEqual(fit.peak, fit.dirty + fit.mapped)
        model.setThermal(thermal: .critical)
        XCTAssertEqual(model.activeThreads(), 1)
        model.relieve(pressure: .critical)
    }

    func testTheLog() throws {
        final class Sink: LogSink, @unchecked Sendable {
            var heard: [String] = []
            func log(level: LogLevel, text: String) throws {
                heard.append(text)
                throw LogFailure.Failed(reason: "a sink may fail")
            }
        }
        let sink = Sink()
        _ = try Model.open(path: scriptPath, options: ModelOptions(log: sink, logLevel: .debug))
        XCTAssertTrue(sink.heard.contains { $0.contains("llama") }, "\(sink.heard)")
    }

    func testAChatRemembers() async throws {
        let chat = Chat(try script(), system: "be kind")
        for try await _ in chat.ask("one", options: greedy) {}
        XCTAssertEqual(chat.messages, [.system("be kind"), .user("one"), .assistant(expectedText)])
        for try await piece in chat.ask("two", options: greedy) {
            XCTAssertEqual(chat.messages.suffix(2), [.user("two"), .assistant(piece)])
            break
        }
    }

    func testEightTasksShareAModel() async throws {
        let model = try Model.open(path: scriptPath)
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var text = ""
                    for try await piece in try model.session().ask("hi", options: greedy) { text += piece }
                    return text
                }
            }
            for try await text in group { XCTAssertEqual(text, expectedText) }
        }
    }

    func untilFree(_ session: Session) async throws {
        for _ in 0..<200 {
            do {
                _ = try session.position()
                return
            } catch SiskinError.Busy {
                try await Task.sleep(nanoseconds: 5_000_000)
            }
        }
        XCTFail("the job still runs")
    }
}
