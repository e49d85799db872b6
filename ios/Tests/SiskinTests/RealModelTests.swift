// Delays with a real model: SISKIN_MODELS/smollm2-135m-instruct-q4_1.gguf, fetched by `make models`.

import Foundation
import XCTest

import Siskin

final class RealModelTests: XCTestCase {
    func smollm2() throws -> Model {
        let environment = ProcessInfo.processInfo.environment
        let path = (environment["SISKIN_MODELS"] ?? "models") + "/smollm2-135m-instruct-q4_1.gguf"
        if environment["CI"] == nil, !FileManager.default.fileExists(atPath: path) {
            throw XCTSkip("skipped: \(path) is not here (make models)")
        }
        return try Model.open(path: path)
    }

    /// From `Task.cancel()` until the reader has returned and the session is free, in a long prefill.
    func testCancelInALongPrefill() async throws {
        let session = try smollm2().session(options: SessionOptions(batch: 1024))
        var delays: [Double] = []
        for wait: UInt64 in [50, 100, 200, 300, 450] {
            let prompt = Prompt.tokens(tokens: (0..<3600).map { UInt32($0 % 4 + 5) })
            let reader = Task { () -> Int in
                var tokens = 0
                for try await event in session.generate(prompt) {
                    if case .token = event { tokens += 1 }
                }
                return tokens
            }
            try await Task.sleep(nanoseconds: wait * 1_000_000)
            XCTAssertThrowsError(try session.position(), "the prefill was over too soon")
            let started = DispatchTime.now().uptimeNanoseconds
            reader.cancel()
            let tokens = try await reader.value
            _ = try session.position()
            delays.append(Double(DispatchTime.now().uptimeNanoseconds - started) / 1e6)
            XCTAssertEqual(tokens, 0)
            _ = try session.truncate(position: 0)
        }
        delays.sort()
        let (median, most) = (delays[delays.count / 2], delays[delays.count - 1])
        print(String(format: "cancel in a prefill of 3600 tokens: median %.1f ms, most %.1f ms", median, most))
        XCTAssertLessThan(median, 200)  // 50 on a quiet machine
    }

    func testAnAnswer() async throws {
        let chat = Chat(try smollm2().session(), system: "You are a helpful assistant.")
        var options = GenerateOptions(maxTokens: 16, sampler: SamplerConfig(temperature: 0))
        options.stop = ["\n\n"]
        var text = ""
        for try await piece in chat.ask("What is a finch?", options: options) { text += piece }
        XCTAssertTrue(text.lowercased().contains("finch"), text)
    }
}
