package android.content;

public abstract class Context {
    public static final String POWER_SERVICE = "power";

    public abstract Context getApplicationContext();

    public abstract void registerComponentCallbacks(ComponentCallbacks2 callbacks);

    public abstract void unregisterComponentCallbacks(ComponentCallbacks2 callbacks);

    public abstract Object getSystemService(String name);
}
