import { after } from "./platform";

/** Holds listeners of named events. Map is the event map: name → what the listener gets. */
export class Events<Map extends object> {
  readonly #listeners: { [K in keyof Map]?: Set<(value: Map[K]) => void> } = {};

  /** Calls `listener` at each event; the answer stops that. */
  on<K extends keyof Map>(name: K, listener: (value: Map[K]) => void): () => void {
    const set = (this.#listeners[name] ??= new Set());
    set.add(listener);
    return () => set.delete(listener);
  }

  emit<K extends keyof Map>(name: K, value: Map[K]): void {
    for (const listener of [...(this.#listeners[name] ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        // A listener's fault is reported by the runtime; it must not stop a delivery.
        after(0, () => {
          throw error;
        });
      }
    }
  }
}
