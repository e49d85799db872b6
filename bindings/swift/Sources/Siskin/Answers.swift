// Answers as asynchronous sequences. Each pull takes all events that wait, so a slow reader costs one call for many
// tokens, and a reader that stops reading stops the computation.

import Dispatch
import Foundation

extension Session {
    /// Makes an answer to `prompt` and gives its events in order; the last is `.done`.
    ///
    /// The answer is cancelled when the task that reads is cancelled (also before the first token; reading returns once
    /// the work has stopped) and when the stream is dropped.
    public func generate(
        _ prompt: Prompt,
        options: GenerateOptions = GenerateOptions()
    ) -> AsyncThrowingStream<Event, Error> {
        let source = JobSource(self) { try self.job(prompt: prompt, options: options) }
        return AsyncThrowingStream(unfolding: { try await source.next() })
    }

    /// The text of an answer, piece by piece, in whole characters. Cancelled as `generate(_:options:)` is.
    public func text(
        _ prompt: Prompt,
        options: GenerateOptions = GenerateOptions()
    ) -> AsyncThrowingStream<String, Error> {
        texts(prompt, options: options) { _ in }
    }

    /// The text of an answer to what a user says, alone, with `pictures` before it or where it has `<start_of_image>`. See
    /// `Chat` for conversations.
    public func ask(
        _ question: String,
        pictures: [Picture] = [],
        options: GenerateOptions = GenerateOptions()
    ) -> AsyncThrowingStream<String, Error> {
        text(.messages(messages: [.user(question, pictures: pictures)]), options: options)
    }

    /// The text that goes between the prefix and the suffix of `request`, piece by piece. The session is that text's from
    /// then on. Cancelled as `generate(_:options:)` is.
    public func fillIn(
        _ request: FimRequest,
        options: GenerateOptions = GenerateOptions()
    ) -> AsyncThrowingStream<String, Error> {
        JobSource.texts(JobSource(self) { try self.fim(request: request, options: options).job }) { _ in }
    }

    /// The text of an answer, of which `heard` hears everything first.
    func texts(
        _ prompt: Prompt,
        options: GenerateOptions,
        heard: @escaping @Sendable (Event) -> Void
    ) -> AsyncThrowingStream<String, Error> {
        JobSource.texts(JobSource(self) { try self.job(prompt: prompt, options: options) }, heard: heard)
    }
}

/// One job, pulled by one reader at a time (streams have no more). Dropping it cancels the job.
private final class JobSource: @unchecked Sendable {
    private let job: Result<Job, Error>
    /// Pulling waits in native code: on a thread of its own, not on one of the few that Swift's tasks share.
    private let queue = DispatchQueue(label: "siskin.answer")
    private var waiting: ArraySlice<Event> = []
    private let ahead = Ahead()
    /// Freeing a session cancels its job: whoever reads an answer keeps the session.
    private let session: Session

    init(_ session: Session, _ make: () throws -> Job) {
        self.session = session
        job = Result { try make() }
    }

    /// The text of its answer, of which `heard` hears everything first.
    static func texts(
        _ source: JobSource,
        heard: @escaping @Sendable (Event) -> Void
    ) -> AsyncThrowingStream<String, Error> {
        AsyncThrowingStream(unfolding: {
            while let event = try await source.next() {
                heard(event)
                if case .text(let text) = event {
                    return text
                }
            }
            return nil
        })
    }

    deinit {
        try? job.get().cancel()
    }

    /// The next event; nil after `.done`.
    func next() async throws -> Event? {
        if waiting.isEmpty {
            waiting = try await pull()[...]
        }
        return waiting.popFirst()
    }

    private func pull() async throws -> [Event] {
        let job = try self.job.get()
        // While the reader looks at some events, the queue waits for the next. It holds the job and not this object:
        // dropping the stream must cancel.
        let (queue, ahead) = (self.queue, self.ahead)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                queue.async {
                    let events = ahead.pulled ?? Result { try job.nextBatch() }
                    ahead.pulled = nil
                    continuation.resume(with: events)
                    ahead.pulled = Result { try job.nextBatch() }
                }
            }
        } onCancel: {
            job.cancel()
        }
    }

    /// Touched on the queue alone.
    private final class Ahead: @unchecked Sendable {
        var pulled: Result<[Event], Error>?
    }
}
