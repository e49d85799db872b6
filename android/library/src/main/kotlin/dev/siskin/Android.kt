@file:JvmName("SiskinAndroid")

package dev.siskin

import android.content.ComponentCallbacks2
import android.content.Context
import android.content.res.AssetFileDescriptor
import android.content.res.Configuration
import android.graphics.Bitmap
import android.os.Build
import android.os.ParcelFileDescriptor
import android.os.PowerManager
import java.util.concurrent.Executor
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/**
 * Opens a model that lies in the app's package, mapped where it lies: `context.assets.openFd("model.gguf")`. The package
 * must hold it uncompressed (`androidResources { noCompress += "gguf" }`), or `openFd` fails. Closes [asset].
 */
@JvmOverloads
public fun Model.Companion.openAsset(asset: AssetFileDescriptor, options: ModelOptions = ModelOptions()): Model =
    asset.use { open(it.parcelFileDescriptor.fd, it.startOffset, it.length, options) }

/** [openAsset] without blocking the caller. */
public suspend fun Model.Companion.loadAsset(asset: AssetFileDescriptor, options: ModelOptions = ModelOptions()): Model =
    withContext(Dispatchers.IO) { openAsset(asset, options) }

/** Opens a model behind a descriptor, as a content provider hands it out. It must be a file, not a pipe. Closes [file]. */
@JvmOverloads
public fun Model.Companion.open(file: ParcelFileDescriptor, options: ModelOptions = ModelOptions()): Model =
    file.use { open(it.fd, 0, it.statSize, options) }

/**
 * A picture of [bitmap], whose pixels must be readable: not of the configuration `HARDWARE` (`copy` makes another). Decode
 * files with `ImageDecoder`, which turns pictures upright as their camera says; `BitmapFactory` does not.
 */
@JvmOverloads
public fun Vision.picture(bitmap: Bitmap, panAndScan: PanAndScan? = null): Picture {
    val pixels = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    return picture(bitmap.width, bitmap.height, pixels, panAndScan)
}

/** The model's eyes in a file of the app's package, as for [openAsset]. Closes [asset]. */
public fun Model.openVision(asset: AssetFileDescriptor): Vision =
    asset.use { openVision(it.parcelFileDescriptor.fd, it.startOffset, it.length) }

/**
 * Hands what Android says about memory and heat on to the model, until the result is closed: `onTrimMemory` levels, and
 * from Android 10 on the thermal status. A hidden screen is not taken for pressure. Close it before the model.
 */
@JvmName("follow")
public fun Model.follow(context: Context): AutoCloseable {
    val application = context.applicationContext
    val callbacks = TrimMemory(this)
    application.registerComponentCallbacks(callbacks)
    val thermal = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) Heat.follow(application, this) else null
    return AutoCloseable {
        application.unregisterComponentCallbacks(callbacks)
        thermal?.close()
    }
}

private class TrimMemory(private val model: Model) : ComponentCallbacks2 {
    override fun onTrimMemory(level: Int) = model.unlessClosed { trimMemory(level) }

    override fun onConfigurationChanged(configuration: Configuration) {}

    @Deprecated("Android calls it on old versions instead of onTrimMemory(TRIM_MEMORY_COMPLETE)")
    override fun onLowMemory() = model.unlessClosed { trimMemory(@Suppress("DEPRECATION") ComponentCallbacks2.TRIM_MEMORY_COMPLETE) }
}

/** A class of its own: what it names does not exist before Android 10, where it must not be loaded. */
private object Heat {
    fun follow(context: Context, model: Model): AutoCloseable? {
        val power = context.getSystemService(Context.POWER_SERVICE) as? PowerManager ?: return null
        val listener = PowerManager.OnThermalStatusChangedListener { status -> model.unlessClosed { setThermalStatus(status) } }
        power.addThermalStatusListener(Executor(Runnable::run), listener) // tells the status of now, too
        return AutoCloseable { power.removeThermalStatusListener(listener) }
    }
}

/** The system may call once more while the model is being closed. */
private inline fun Model.unlessClosed(body: Model.() -> Unit) {
    try {
        body()
    } catch (_: IllegalStateException) {
        // closed
    }
}
