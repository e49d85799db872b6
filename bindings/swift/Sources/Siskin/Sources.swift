// Models from where Apple platforms keep files.

import Foundation

extension Model {
    /// Opens the GGUF file at `url` (any part of a split one).
    public static func open(_ url: URL, options: ModelOptions = ModelOptions()) throws -> Model {
        try open(path: url.path, options: options)
    }

    /// Opens a model that lies in an open file, from `offset` on, to its end if no length is given. It is mapped, not
    /// copied; the file may be closed afterwards.
    public static func open(
        _ file: FileHandle,
        offset: UInt64 = 0,
        length: UInt64? = nil,
        options: ModelOptions = ModelOptions()
    ) throws -> Model {
        let size = try length ?? file.sizeBehind(offset)
        return try openFd(fd: file.fileDescriptor, offset: offset, length: size, options: options)
    }

    /// Opens a resource of the app by its descriptor.
    public static func open(
        resource name: String,
        withExtension suffix: String = "gguf",
        in bundle: Bundle = .main,
        options: ModelOptions = ModelOptions()
    ) throws -> Model {
        guard let url = bundle.url(forResource: name, withExtension: suffix) else {
            let file = "\(name).\(suffix)"
            throw SiskinError.Io(
                reason: "\(file): not in the bundle", file: file, key: nil, tensor: nil, offset: nil)
        }
        let file = try FileHandle(forReadingFrom: url)
        defer { try? file.close() }
        return try open(file, options: options)
    }

    /// Opens the GGUF file at `url` without holding up the caller: reading its tables takes tens of milliseconds.
    public static func load(_ url: URL, options: ModelOptions = ModelOptions()) async throws -> Model {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .userInitiated).async {
                continuation.resume(with: Result { try open(url, options: options) })
            }
        }
    }
}

extension FileHandle {
    fileprivate func sizeBehind(_ offset: UInt64) throws -> UInt64 {
        let position = try self.offset()
        let end = try seekToEnd()
        try seek(toOffset: position)
        return end > offset ? end - offset : 0
    }
}

extension SiskinError {
    /// What happened, with the place.
    public var reason: String {
        switch self {
        case .Io(let reason, _, _, _, _), .Format(let reason, _, _, _, _), .Limit(let reason, _, _, _, _),
            .Unsupported(let reason, _, _, _, _), .Missing(let reason, _, _, _, _),
            .Shape(let reason, _, _, _, _), .Tokenizer(let reason, _, _, _, _),
            .Template(let reason, _, _, _, _), .Argument(let reason, _, _, _, _),
            .ContextFull(let reason, _, _, _, _), .Cancelled(let reason, _, _, _, _),
            .FileChanged(let reason, _, _, _, _), .Numeric(let reason, _, _, _, _),
            .Poisoned(let reason, _, _, _, _), .Busy(let reason, _, _, _, _), .Other(let reason, _, _, _, _):
            return reason
        }
    }
}
