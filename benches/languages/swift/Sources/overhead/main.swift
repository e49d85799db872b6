// What a token costs through the Swift package: MODEL TOKENS -> lines `label microseconds`. See ../../overhead.

import Dispatch
import Siskin

let path = CommandLine.arguments[1]
let tokens = Int(CommandLine.arguments[2])!
let session = try Model.open(path: path, options: ModelOptions(threads: 1)).session()

for n in [tokens / 10, tokens] {
    for label in ["stream", "batches"] {
        _ = try session.truncate(position: 0)
        let options = GenerateOptions(
            maxTokens: UInt64(n), sampler: SamplerConfig(temperature: 0), stopAtEndOfTurn: false)
        let prompt = Prompt.text(text: "hi", parseSpecial: false)
        let started = DispatchTime.now().uptimeNanoseconds
        var seen = 0
        if label == "stream" {
            for try await event in session.generate(prompt, options: options) {
                if case .token = event { seen += 1 }
            }
        } else {
            let job = try session.job(prompt: prompt, options: options)
            while case let events = try job.nextBatch(), !events.isEmpty {
                for case .token in events { seen += 1 }
            }
        }
        let took = Double(DispatchTime.now().uptimeNanoseconds - started) / 1e3
        precondition(seen == n, "\(seen) of \(n) tokens")
        if n == tokens { print("swift-\(label) \(took / Double(n))") }
    }
}
