package android.os;

public class PowerManager {
    public interface OnThermalStatusChangedListener {
        void onThermalStatusChanged(int status);
    }

    public OnThermalStatusChangedListener listener;

    public void addThermalStatusListener(java.util.concurrent.Executor executor, OnThermalStatusChangedListener listener) {
        this.listener = listener;
    }

    public void removeThermalStatusListener(OnThermalStatusChangedListener listener) {
        if (this.listener == listener) this.listener = null;
    }
}
