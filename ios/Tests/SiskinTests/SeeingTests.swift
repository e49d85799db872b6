// Pictures, fill in the middle, moderation. SISKIN_SEEING names the folder that `cargo xtask seeing-model` writes, with the
// answers that the library itself gives.

import Foundation
import XCTest

@testable import Siskin

final class SeeingTests: XCTestCase {
    let folder = URL(fileURLWithPath: ProcessInfo.processInfo.environment["SISKIN_SEEING"] ?? "seeing")
    let options = GenerateOptions(
        maxTokens: 12, sampler: SamplerConfig(temperature: 0), stopAtEndOfTurn: false)

    func file(_ name: String) throws -> Data { try Data(contentsOf: folder.appendingPathComponent(name)) }

    func opened() throws -> (Model, Vision) {
        let model = try Model.open(folder.appendingPathComponent("model.gguf"))
        return (model, try model.vision(folder.appendingPathComponent("mmproj.gguf")))
    }

    /// Asks, compares with what is written down, and says how many tokens of the prompt were new.
    func answers(_ session: Session, _ name: String, _ pictures: [Picture]) async throws -> UInt64 {
        let prompt = Prompt.messages(messages: [.user("what is this", pictures: pictures)])
        var (tokens, new): ([String], UInt64) = ([], 0)
        for try await event in session.generate(prompt, options: options) {
            if case .token(let id, _) = event { tokens.append("\(id)") }
            if case .done(let outcome) = event { new = outcome.stats.promptTokens }
        }
        let lines = String(decoding: try file("answers.txt"), as: UTF8.self).split(separator: "\n")
        XCTAssertTrue(lines.contains("\(name) \(tokens.joined(separator: ","))"), "\(name) \(tokens)")
        return new
    }

    func testPicturesAreSeen() async throws {
        let (model, vision) = try opened()
        XCTAssertEqual(vision.info().positions, 25)
        let session = try model.session()
        let rgb = try vision.pictureRgb(width: 64, height: 48, pixels: try file("picture.rgb"))
        let (png, jpg) = (try vision.picture(try file("picture.png")), try vision.picture(try file("picture.jpg")))
        _ = try await answers(session, "none", [])
        _ = try await answers(session, "rgb", [rgb])
        _ = try await answers(session, "png", [png])
        #if os(Linux) // Apple's reader shrinks on its own
            _ = try await answers(session, "jpg", [jpg])
            _ = try await answers(session, "both", [png, jpg])
            let new = try await answers(session, "both", [png, jpg])
            XCTAssertEqual(new, 1)
        #endif
    }

    func testLongPicturesAreSeenInParts() async throws {
        let (model, vision) = try opened()
        XCTAssertEqual(vision.panAndScan(), PanAndScan())
        XCTAssertEqual(vision.panAndScan(), PanAndScan(minCropSize: 256, maxCrops: 4, minRatio: 1.2))
        let (pixels, crops) = (try file("picture.rgb"), PanAndScan(minCropSize: 8))
        let parts = try vision.pictureRgb(width: 64, height: 48, pixels: pixels, panAndScan: crops)
        XCTAssertEqual(parts.images(), 3)
        XCTAssertEqual(try vision.picture(try file("picture.png"), panAndScan: crops).images(), 3)
        XCTAssertEqual(try vision.picture(try file("picture.png")).images(), 1)
        _ = try await answers(try model.session(), "crops", [parts])
        let wrong = PanAndScan(maxCrops: 0)
        XCTAssertThrowsError(try vision.pictureRgb(width: 64, height: 48, pixels: pixels, panAndScan: wrong))
    }

    func testAChatKeepsItsPictures() async throws {
        let (model, vision) = try opened()
        let picture = try vision.pictureRgb(width: 64, height: 48, pixels: try file("picture.rgb"))
        let chat = Chat(try model.session())
        for try await _ in chat.ask("what is this", pictures: [picture], options: options) {}
        XCTAssertEqual(chat.messages.first, .user("what is this", pictures: [picture]))
        XCTAssertNotEqual(chat.messages.first, .user("what is this"))
        for try await _ in chat.ask("and more", options: options) {}
        XCTAssertEqual(chat.messages.count, 4)
    }

    func testSourcesAndRefusals() throws {
        let (model, vision) = try opened()
        XCTAssertEqual(try model.visionBytes(bytes: try file("mmproj.gguf")).info().positions, 25)
        func refused(_ words: String, _ body: () throws -> Void) {
            XCTAssertThrowsError(try body()) { error in
                let reason = (error as? SiskinError)?.reason ?? "\(error)"
                XCTAssertTrue(reason.contains(words), reason)
            }
        }
        let blind = try Model.open(path: scriptPath)
        refused("does not see") { _ = try blind.vision(folder.appendingPathComponent("mmproj.gguf")) }
        refused("another model") { _ = try model.vision(folder.appendingPathComponent("other.gguf")) }
        refused("no vision tower") { _ = try model.vision(folder.appendingPathComponent("model.gguf")) }
        refused("0 x 0") { _ = try vision.pictureRgb(width: 0, height: 0, pixels: Data()) }
        refused("64 x 48") { _ = try vision.pictureRgb(width: 64, height: 48, pixels: Data(count: 5)) }
        refused("4294967295") { _ = try vision.pictureRgb(width: .max, height: .max, pixels: Data(count: 5)) }
        XCTAssertThrowsError(try vision.picture(Data("no picture".utf8)))
        #if os(Linux)
            let jpeg = try file("picture.jpg")
            refused("ends early") { _ = try vision.picture(jpeg.prefix(jpeg.count - 100)) }
        #endif
        let picture = try vision.pictureRgb(width: 64, height: 48, pixels: try file("picture.rgb"))
        let prompt = Prompt.messages(messages: [.user("x", pictures: [picture])])
        refused("another model") { _ = try blind.session().job(prompt: prompt) }
        let session = try model.session()
        try withExtendedLifetime(session) { // a session that nobody holds any more is closed
            let job = try session.job(prompt: prompt)
            job.cancel()
            guard case .done(let outcome) = try job.nextBatch().last else { return XCTFail("no end") }
            XCTAssertEqual(outcome.reason, .cancelled)
        }
    }

    func testFillsInTheMiddle() async throws {
        let model = try Model.open(path: scriptPath)
        XCTAssertTrue(model.fillsIn())
        let request = FimRequest(
            prefix: "int main", suffix: "return", path: "a.c", files: [FimFile(path: "b.c", text: "x")])
        var text = ""
        for try await piece in try model.session().fillIn(request, options: greedy) { text += piece }
        XCTAssertEqual(text, expectedText)
        let long = FimRequest(prefix: String(repeating: "a", count: 9000), suffix: "b")
        XCTAssertGreaterThan(try model.session().fim(request: long).cut.prefixTokens, 4000)
        let (seeing, _) = try opened()
        XCTAssertFalse(seeing.fillsIn())
        XCTAssertThrowsError(try seeing.session().fim(request: long)) { error in
            guard case SiskinError.Unsupported = error else { return XCTFail("\(error)") }
        }
    }

    func testModerates() throws {
        let model = try Model.open(path: scriptPath, options: ModelOptions(experts: .stream))
        XCTAssertTrue(model.info().generates)
        XCTAssertNil(model.info().pooling)
        XCTAssertThrowsError(try model.moderator())
        let moderator = try model.moderator(options: ModerateOptions(anyModel: true))
        moderator.cancel() // nothing runs
        var scores = try moderator.moderate(prompt: "hello")
        XCTAssertEqual(scores.map(\.policy), ["dangerous_content", "harassment", "hate_speech", "sexually_explicit"])
        scores += try moderator.moderate(
            prompt: "hello", response: "hi", policies: [Policy(name: "mine", guideline: "No shouting.")])
        XCTAssertTrue(scores.allSatisfy { abs($0.probability - 0.7561) < 1e-4 }, "\(scores)")
        XCTAssertThrowsError(try moderator.moderate(prompt: "hello", policies: [Policy(name: "spam")]))
    }
}
