// What Apple's systems say about the device, handed to the library. Compiled on Apple platforms only.

#if canImport(Darwin)
    import Dispatch
    import Foundation

    extension Thermal {
        /// The system's state as the library's.
        public init(_ state: ProcessInfo.ThermalState) {
            self = thermalFromApple(state: Int32(state.rawValue))
        }
    }

    /// Follows the device's heat and memory pressure for a model, as long as it is kept.
    public final class DeviceWatch: @unchecked Sendable {
        private let observer: NSObjectProtocol
        private let memory: DispatchSourceMemoryPressure

        public init(_ model: Model) {
            model.setThermal(thermal: Thermal(ProcessInfo.processInfo.thermalState))
            let changed = ProcessInfo.thermalStateDidChangeNotification
            observer = NotificationCenter.default.addObserver(forName: changed, object: nil, queue: nil) {
                [weak model] _ in
                model?.setThermal(thermal: Thermal(ProcessInfo.processInfo.thermalState))
            }
            memory = DispatchSource.makeMemoryPressureSource(eventMask: [.warning, .critical], queue: .global())
            memory.setEventHandler { [weak model, unowned memory] in
                model?.relieve(pressure: memory.data.contains(.critical) ? .critical : .moderate)
            }
            memory.activate()
        }

        deinit {
            NotificationCenter.default.removeObserver(observer)
            memory.cancel()
        }
    }
#endif
