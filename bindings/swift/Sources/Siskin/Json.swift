// Tools and other JSON that templates take, as Swift values.

import Foundation

/// Any JSON value: schemas of parameters, variables of templates.
public enum Json: Codable, Hashable, Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([Json])
    case object([String: Json])

    public init(from decoder: Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let string = try? value.decode(String.self) {
            self = .string(string)
        } else if let array = try? value.decode([Json].self) {
            self = .array(array)
        } else {
            self = .object(try value.decode([String: Json].self))
        }
    }

    public func encode(to encoder: Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let bool): try container.encode(bool)
        case .number(let number): try container.encode(number)
        case .string(let string): try container.encode(string)
        case .array(let array): try container.encode(array)
        case .object(let object): try container.encode(object)
        }
    }
}

extension Json: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .number(Double(value)) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: Json...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, Json)...) {
        self = .object(Dictionary(elements) { _, last in last })
    }
}

/// A tool that the model may call.
public struct Tool: Codable, Hashable, Sendable {
    public struct Function: Codable, Hashable, Sendable {
        public var name: String
        public var description: String
        /// JSON Schema of the arguments.
        public var parameters: Json
    }

    public var type = "function"
    public var function: Function

    public init(name: String, description: String, parameters: Json = ["type": "object", "properties": [:]]) {
        function = Function(name: name, description: description, parameters: parameters)
    }
}

extension Message {
    /// What the model is told to be.
    public static func system(_ content: String) -> Message { Message(role: "system", content: content) }
    /// What the user says and shows.
    public static func user(_ content: String, pictures: [Picture] = []) -> Message {
        Message(role: "user", content: content, pictures: pictures)
    }
    /// What the model said.
    public static func assistant(_ content: String) -> Message { Message(role: "assistant", content: content) }

    /// A message with further fields as the model's template reads them: `tool_calls`, `tool_call_id`, `name`.
    public init(role: String, content: String, fields: [String: Json]) throws {
        self.init(role: role, content: content, fields: try jsonText(fields))
    }
}

extension RenderOptions {
    /// What a template is given besides the messages: tools, variables, and the date if it may tell the model.
    public init(
        tools: [Tool],
        variables: [String: Json] = [:],
        addGenerationPrompt: Bool = true,
        now: Date? = nil,
        timeZone: TimeZone = .current
    ) throws {
        self.init(
            addGenerationPrompt: addGenerationPrompt,
            tools: tools.isEmpty ? nil : try jsonText(tools),
            variables: variables.isEmpty ? nil : try jsonText(variables),
            now: now.map { Int64($0.timeIntervalSince1970) + Int64(timeZone.secondsFromGMT(for: $0)) })
    }
}

/// JSON with sorted keys: the same value gives the same prompt.
private func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}
