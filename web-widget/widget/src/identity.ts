import { isObject, parseJson, type Remembered, type Session, type Storage } from "@parley-chat/client";

/**
 * Who this visitor is, kept without cookies: the person in localStorage, so
 * that every tab speaks as the same visitor; the device in sessionStorage, so
 * that every tab is a device of its own.
 */
export class Identity {
  readonly #local: Storage;
  readonly #session: Storage;
  readonly #key: string;

  constructor(local: Storage, session: Storage, site: string) {
    this.#local = local;
    this.#session = session;
    this.#key = `parley.${site}`;
  }

  /** Begins every key that belongs to this site. */
  get namespace(): string {
    return this.#key;
  }

  remembered(): Remembered | undefined {
    const refreshToken = this.#person()?.refreshToken;
    return refreshToken ? { refreshToken, device: this.#session.get(this.#key + ".device") ?? "" } : undefined;
  }

  /** Keeps a new session. A visitor that is not the earlier one starts without the earlier one's conversation. */
  keep({ user, device, refreshToken }: Session): void {
    const before = this.#person();
    this.#local.set(this.#key, JSON.stringify({ user, refreshToken }));
    this.#session.set(this.#key + ".device", device);
    if (before && before.user !== user) this.conversation = "";
  }

  /** The visitor's conversation, empty if there is none yet. */
  get conversation(): string {
    return this.#local.get(this.#key + ".conversation") ?? "";
  }

  set conversation(id: string) {
    if (id) this.#local.set(this.#key + ".conversation", id);
    else this.#local.remove(this.#key + ".conversation");
  }

  /** What the visitor has begun to write in this tab. */
  get draft(): string {
    return this.#session.get(this.#key + ".draft") ?? "";
  }

  set draft(text: string) {
    this.#session.set(this.#key + ".draft", text);
  }

  #person(): { user: string; refreshToken: string } | undefined {
    const value = parseJson(this.#local.get(this.#key) ?? "");
    if (!isObject(value)) return undefined;
    const { user, refreshToken } = value;
    return typeof user === "string" && typeof refreshToken === "string" ? { user, refreshToken } : undefined;
  }
}
