// What the app does, without a screen: compiled and tried on Linux too.

import Foundation
import Siskin

/// One conversation, as a view shows it.
@MainActor
final class ChatModel {
    enum Phase: Equatable {
        case closed, opening, ready, answering
        case failed(String)
    }

    private(set) var phase = Phase.closed { didSet { changed() } }
    private(set) var messages: [Message] = [] { didSet { changed() } }
    /// Called after every change.
    var changed: () -> Void = {}

    private var chat: Chat?
    private var answer: Task<Void, Never>?

    /// Opens the model and starts a conversation of at most `context` tokens, if that fits into `memory` bytes.
    func open(context: UInt32 = 2048, memory: UInt64 = .max, _ model: @escaping @Sendable () throws -> Model) async {
        phase = .opening
        do {
            let session = try await Task.detached {
                let model = try model()
                let options = SessionOptions(context: context)
                let fit = try model.fit(options: options)
                guard fit.dirty <= memory else {
                    throw TooLarge(needed: fit.dirty)
                }
                return (model, try model.session(options: options))
            }.value
            chat = Chat(session.1, system: "You are a helpful assistant.")
            opened(session.0)
            phase = .ready
        } catch {
            phase = .failed((error as? SiskinError)?.reason ?? "\(error)")
        }
    }

    /// Asks, and shows the answer as it comes.
    func ask(_ text: String, options: GenerateOptions = GenerateOptions()) {
        guard let chat, phase == .ready, !text.isEmpty else { return }
        phase = .answering
        answer = Task {
            do {
                for try await _ in chat.ask(text, options: options) {
                    messages = chat.messages
                }
                phase = .ready
            } catch {
                phase = .failed((error as? SiskinError)?.reason ?? "\(error)")
            }
            messages = chat.messages
        }
        messages = chat.messages
    }

    /// Stops the answer; what there is of it stays.
    func stop() {
        answer?.cancel()
    }

    /// When the answer has ended.
    func finished() async {
        await answer?.value
    }

    #if canImport(Darwin)
        private var watch: DeviceWatch?
        private func opened(_ model: Model) { watch = DeviceWatch(model) }
    #else
        private func opened(_ model: Model) {}
    #endif
}

struct TooLarge: Error, CustomStringConvertible {
    let needed: UInt64
    var description: String { "This needs \(needed >> 20) MiB of memory." }
}
