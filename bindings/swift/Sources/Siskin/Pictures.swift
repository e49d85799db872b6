// Pictures from what Apple platforms and Foundation have.

import Foundation

#if canImport(CoreGraphics) && canImport(ImageIO)
    import CoreGraphics
    import ImageIO
#endif

extension Model {
    /// Opens the model's eyes: the vision tower in the file at `url`.
    public func vision(_ url: URL) throws -> Vision {
        try vision(path: url.path)
    }
}

extension Vision {
    /// A picture from the bytes of a file of an image, upright as its camera says: on Apple platforms of every kind that the
    /// system reads, elsewhere PNG and JPEG. With `panAndScan` (the model's own numbers: `panAndScan()`), parts of a long one
    /// are shown, too.
    public func picture(_ data: Data, panAndScan: PanAndScan? = nil) throws -> Picture {
        #if canImport(CoreGraphics) && canImport(ImageIO)
            // As large as is useful, upright; the system's reader turns and shrinks it while reading. Each part becomes a
            // square as large as the whole does.
            let parts = panAndScan.map { Int(clamping: $0.maxCrops) } ?? 1
            let options: [CFString: Any] = [
                kCGImageSourceCreateThumbnailFromImageAlways: true,
                kCGImageSourceCreateThumbnailWithTransform: true,
                kCGImageSourceThumbnailMaxPixelSize: 4 * Int(info().imageSize) * min(max(parts, 1), 9),
            ]
            guard let source = CGImageSourceCreateWithData(data as CFData, nil),
                let image = CGImageSourceCreateThumbnailAtIndex(source, 0, options as CFDictionary)
            else {
                throw SiskinError.Format(
                    reason: "this is no image that the system reads", file: nil, key: nil, tensor: nil, offset: nil)
            }
            return try picture(image, panAndScan: panAndScan)
        #else
            return try pictureFile(bytes: data, panAndScan: panAndScan)
        #endif
    }

    #if canImport(CoreGraphics) && canImport(ImageIO)
        /// A picture from an image of the system, as it lies in memory: `UIImage.cgImage` does not know how the camera was
        /// held.
        public func picture(_ image: CGImage, panAndScan: PanAndScan? = nil) throws -> Picture {
            let (width, height) = (image.width, image.height)
            guard let space = CGColorSpace(name: CGColorSpace.sRGB),
                let context = CGContext(
                    data: nil, width: width, height: height, bitsPerComponent: 8, bytesPerRow: 4 * width, space: space,
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue),
                let pixels = context.data
            else {
                throw SiskinError.Limit(
                    reason: "no room for an image of \(width) x \(height) pixels", file: nil, key: nil, tensor: nil,
                    offset: nil)
            }
            context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
            let rgbx = UnsafeRawBufferPointer(start: pixels, count: 4 * width * height)
            var rgb = Data(capacity: 3 * width * height)
            for pixel in stride(from: 0, to: rgbx.count, by: 4) {
                rgb.append(contentsOf: rgbx[pixel..<pixel + 3])
            }
            return try pictureRgb(
                width: UInt32(width), height: UInt32(height), pixels: rgb, panAndScan: panAndScan)
        }
    #endif
}

// The generator does not compare what holds objects.

extension Message: Equatable, Hashable {
    public static func == (a: Message, b: Message) -> Bool {
        a.role == b.role && a.content == b.content && a.fields == b.fields && a.pictures == b.pictures
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(role)
        hasher.combine(content)
        hasher.combine(fields)
        hasher.combine(pictures)
    }
}

extension Prompt: Equatable {
    public static func == (a: Prompt, b: Prompt) -> Bool {
        switch (a, b) {
        case (.tokens(let a), .tokens(let b)): return a == b
        case (.text(let a, let parse, let shown), .text(let b, let parses, let shows)):
            return a == b && parse == parses && shown == shows
        case (.messages(let a, let options), .messages(let b, let others)): return a == b && options == others
        default: return false
        }
    }
}
