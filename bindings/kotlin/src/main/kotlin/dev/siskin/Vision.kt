package dev.siskin

/** What a vision tower is and takes. */
public data class VisionInfo(
    /** Side of the square that pictures are resized to, in pixels. */
    val imageSize: Int,
    /** Positions of the context that a picture takes. A session's batch must have room for them. */
    val positions: Int,
    /** Layers of the tower. */
    val layers: Int,
    /** Bytes of memory that turning a picture into embeddings takes while it runs. */
    val encodeBytes: Long,
    /** Bytes of memory that the tower takes; its other weights stay in the file. */
    val heapBytes: Long,
)

/**
 * Into which parts a long picture is cut ("pan and scan"), which are shown behind the whole: what is small in it is lost when
 * the whole becomes a square. The defaults are what Gemma 3 was published with.
 */
public data class PanAndScan @JvmOverloads constructor(
    /** Shortest side of a part, in pixels; 1 or more. A picture whose parts would be smaller is not cut. */
    val minCropSize: Int = 256,
    /** Most parts; 1 to 16. Each takes as many positions and as long as a picture. */
    val maxCrops: Int = 4,
    /** Longer side over shorter side from which a picture is cut; not below 0. 1 is that of a square. */
    val minRatio: Double = 1.2,
) {
    internal fun numbers(): DoubleArray = doubleArrayOf(minCropSize.toDouble(), maxCrops.toDouble(), minRatio)
}

/** As [Native] takes it: nothing for a picture that is not cut. */
private fun PanAndScan?.orNone(): DoubleArray = this?.numbers() ?: DoubleArray(0)

/** A model's eyes: the vision tower and projector from a file of their own ("mmproj"). Any thread may use it. */
public class Vision internal constructor(handle: Long) : AutoCloseable {
    private val handle = Handle(this, "vision tower", handle, Native::visionFree)

    /** What the tower is and takes. */
    public val info: VisionInfo
        get() = Native.visionNumbers(handle.value()).let { VisionInfo(it[0].toInt(), it[1].toInt(), it[2].toInt(), it[3], it[4]) }

    /** The numbers for pan and scan that the model was published with. */
    public val panAndScan: PanAndScan
        get() = Native.visionPanAndScan(handle.value()).let { PanAndScan(it[0].toInt(), it[1].toInt(), it[2]) }

    /**
     * A picture of [width] x [height] pixels: rows from the top, three bytes for each pixel, red, green and blue. With
     * [panAndScan], parts of a long one are shown, too.
     */
    @JvmOverloads
    public fun picture(width: Int, height: Int, rgb: ByteArray, panAndScan: PanAndScan? = null): Picture =
        Picture(Native.pictureRgb(handle.value(), width, height, rgb, panAndScan.orNone()))

    /**
     * The same from one number for each pixel, as Android's `Bitmap.getPixels` and Java's `BufferedImage.getRGB` give them:
     * `0xAARRGGBB`. Transparency is left out.
     */
    @JvmOverloads
    public fun picture(width: Int, height: Int, argb: IntArray, panAndScan: PanAndScan? = null): Picture =
        Picture(Native.pictureArgb(handle.value(), width, height, argb, panAndScan.orNone()))

    /** Lets go of the tower, at once; pictures keep what they need of it. Closing twice does nothing. */
    override fun close(): Unit = handle.close()
}

/**
 * A picture for a model to see, in any number of messages. The first answer that reads it turns it into embeddings, which
 * it keeps: hand the same picture in again with each turn of a conversation.
 */
public class Picture internal constructor(handle: Long) : AutoCloseable {
    private val handle = Handle(this, "picture", handle, Native::pictureFree)

    internal fun value(): Long = handle.value()

    /** How many images a prompt has for it: 1, and one for each part. Each takes the positions that [VisionInfo] says. */
    public val images: Int
        get() = Native.pictureImages(handle.value())

    /** Lets go of the picture, at once; answers that were asked for with it keep it. Closing twice does nothing. */
    override fun close(): Unit = handle.close()
}
