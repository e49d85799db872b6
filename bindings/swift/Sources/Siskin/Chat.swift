// A conversation: the messages so far, and a session that answers the next.

import Foundation

/// Keeps the messages of a conversation. Earlier turns are not computed again: the session has them.
public final class Chat: @unchecked Sendable {
    /// The session that answers.
    public let session: Session
    /// What the template is given besides the messages: tools, variables.
    public let render: RenderOptions

    private let lock = NSLock()
    private var conversation: [Message]

    public init(_ session: Session, system: String? = nil, render: RenderOptions = RenderOptions()) {
        self.session = session
        self.render = render
        conversation = system.map { [.system($0)] } ?? []
    }

    /// The conversation so far, an answer in the making included.
    public var messages: [Message] {
        lock.lock()
        defer { lock.unlock() }
        return conversation
    }

    /// Says `text` as the user, showing `pictures`, and gives the answer's text, piece by piece. The answer becomes part of the conversation
    /// as it comes; if it is cancelled, what there is of it stays.
    public func ask(
        _ text: String,
        pictures: [Picture] = [],
        options: GenerateOptions = GenerateOptions()
    ) -> AsyncThrowingStream<String, Error> {
        ask(text, pictures: pictures, options: options) { _ in }
    }

    /// The same, telling `heard` every event: tokens, progress of the prompt, how it ended.
    public func ask(
        _ text: String,
        pictures: [Picture] = [],
        options: GenerateOptions = GenerateOptions(),
        heard: @escaping @Sendable (Event) -> Void
    ) -> AsyncThrowingStream<String, Error> {
        lock.lock()
        conversation.append(.user(text, pictures: pictures))
        let asked = conversation
        lock.unlock()
        let prompt = Prompt.messages(messages: asked, options: render)
        return session.texts(prompt, options: options) { [self] event in
            if case .text(let piece) = event {
                add(piece, to: asked.count)
            }
            heard(event)
        }
    }

    /// Adds to the answer that is message number `index`.
    private func add(_ piece: String, to index: Int) {
        lock.lock()
        defer { lock.unlock() }
        if conversation.count == index {
            conversation.append(.assistant(piece))
        } else if conversation.indices.contains(index), conversation[index].role == "assistant" {
            conversation[index].content += piece
        }
    }
}
