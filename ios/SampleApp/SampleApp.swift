// The screen. Nothing here was compiled by the project's CI, which has no SwiftUI.

import Siskin
import SwiftUI

@main
struct SampleApp: App {
    var body: some Scene {
        WindowGroup { ChatView() }
    }
}

/// `ChatModel` for SwiftUI.
@MainActor
final class Conversation: ObservableObject {
    let model = ChatModel()

    init() {
        model.changed = { [weak self] in self?.objectWillChange.send() }
    }

    func open() async {
        #if os(iOS)
            let memory = UInt64(os_proc_available_memory())
        #else
            let memory = UInt64.max
        #endif
        await model.open(memory: memory) { try Model.open(resource: "model") }
    }
}

struct ChatView: View {
    @StateObject private var conversation = Conversation()
    @State private var text = ""

    private var model: ChatModel { conversation.model }

    var body: some View {
        VStack {
            ScrollView {
                LazyVStack(alignment: .leading, spacing: 12) {
                    ForEach(Array(model.messages.enumerated()), id: \.offset) { _, message in
                        if message.role != "system" {
                            Text(message.content)
                                .padding(10)
                                .background(message.role == "user" ? Color.accentColor.opacity(0.2) : Color.gray.opacity(0.15))
                                .cornerRadius(12)
                                .frame(maxWidth: .infinity, alignment: message.role == "user" ? .trailing : .leading)
                        }
                    }
                }
                .padding()
            }
            status
            HStack {
                TextField("Message", text: $text).onSubmit(send)
                if model.phase == .answering {
                    Button("Stop", action: model.stop)
                } else {
                    Button("Send", action: send).disabled(model.phase != .ready || text.isEmpty)
                }
            }
            .padding()
        }
        .task { await conversation.open() }
    }

    @ViewBuilder private var status: some View {
        switch model.phase {
        case .opening: ProgressView()
        case .failed(let reason): Text(reason).foregroundColor(.red).padding(.horizontal)
        case .closed, .ready, .answering: EmptyView()
        }
    }

    private func send() {
        model.ask(text)
        text = ""
    }
}
