package android.content;

public interface ComponentCallbacks2 {
    int TRIM_MEMORY_COMPLETE = 80;
    int TRIM_MEMORY_UI_HIDDEN = 20;

    void onTrimMemory(int level);

    void onConfigurationChanged(android.content.res.Configuration configuration);

    void onLowMemory();
}
