/** Where texts survive a page load. Implementations must not throw; `set` answers whether the text will survive. */
export interface Storage {
  get(key: string): string | undefined;
  set(key: string, value: string): boolean;
  remove(key: string): void;
  keys(): string[];
}

/** Storage that lives as long as the page. */
export function memoryStorage(): Storage {
  const held = new Map<string, string>();
  return {
    get: (key) => held.get(key),
    set: (key, value) => held.set(key, value) === undefined,
    remove: (key) => void held.delete(key),
    keys: () => [...held.keys()],
  };
}

/** The part of localStorage or sessionStorage that is used. */
export interface WebStorage {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/**
 * Storage over `localStorage` or `sessionStorage`, given as a function because
 * merely touching them throws where they are blocked. What does not fit or is
 * not allowed there is kept in memory.
 */
export function webStorage(open: () => WebStorage): Storage {
  const memory = memoryStorage();
  const attempt = <T>(use: (web: WebStorage) => T): T | undefined => {
    try {
      return use(open());
    } catch {
      return undefined;
    }
  };
  return {
    get: (key) => memory.get(key) ?? attempt((web) => web.getItem(key)) ?? undefined,
    set(key, value) {
      const kept = attempt((web) => (web.setItem(key, value), true)) ?? false;
      if (kept) memory.remove(key);
      else memory.set(key, value);
      return kept;
    },
    remove(key) {
      memory.remove(key);
      attempt((web) => web.removeItem(key));
    },
    keys() {
      const names = new Set(memory.keys());
      attempt((web) => {
        for (let i = 0; i < web.length; i++) names.add(web.key(i) ?? "");
      });
      return [...names];
    },
  };
}
