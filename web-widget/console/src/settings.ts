import { webStorage, type Client } from "@parley-chat/client";
import { Registers } from "@parley-chat/client/registers";
import { onUnmounted, shallowRef } from "vue";

/** What an agent may say of a conversation, to all devices of the agent and to nobody else. */
export type Flag = "pinned" | "muted" | "unread";

const flags: readonly Flag[] = ["pinned", "muted", "unread"];

/** What an agent's devices share. All reading is reactive. */
export interface Settings {
  has(flag: Flag, conversation: string): boolean;
  put(flag: Flag, conversation: string, on: boolean): void;
  /** What the agent has begun to write. */
  draft(conversation: string): string;
  write(conversation: string, text: string): void;
  /** What was written has been sent. */
  sent(conversation: string): void;
  /** Nobody writes here any more: what comes from other devices may take the place of what is here. */
  rest(): void;
  /** What another device has made of the draft, while this one keeps its own; empty if there is nothing to choose. */
  other(conversation: string): string;
  /** Chooses the draft of this device, or the other one. */
  decide(conversation: string, mine: boolean): void;
}

/** While somebody is writing here, in milliseconds since the last letter, nothing is put in from elsewhere. */
const writing = 5_000;

const local = webStorage(() => localStorage);
const tab = webStorage(() => sessionStorage);
const key = "parley.console";

/** The settings of whoever is signed in. Ends with the component that calls it. */
export function useSettings(client: Client): Settings {
  const { site = "", user = "" } = client.session ?? {};
  const drafts = shallowRef(0);
  // A list of thousands is not sorted anew with every letter of a draft.
  const flagged = shallowRef("");
  const kept = keptTexts();
  const shared = (conversation: string): string => textIn(registers.get(`draft:${conversation}`));
  let typed = { conversation: "", text: "", at: 0 };

  /** Keeps a text on this device alone, as the draft that is shown here. */
  const keep = (conversation: string, text: string): void => {
    kept.put(conversation, text === shared(conversation) ? "" : text);
    drafts.value++;
  };
  const lost = (name: string, value: unknown): void => {
    const conversation = /^draft:(.+)/.exec(name)?.[1];
    if (conversation && textIn(value)) keep(conversation, textIn(value));
  };
  const registers = new Registers({ client, storage: local, namespace: `${key}.${site}.${user}`, lost });
  const show = (): void => {
    const { conversation, text, at } = typed;
    // Something has come from elsewhere, or has gone there.
    if (kept.of(conversation)) keep(conversation, kept.of(conversation));
    else if (Date.now() - at < writing) keep(conversation, text);
    drafts.value++;
    flagged.value = flags.flatMap((flag) => registers.keys(`${flag}:`)).join();
  };
  registers.subscribe(show);
  show();
  onUnmounted(() => registers.stop());

  return {
    has: (flag, conversation) => flagged.value !== "" && registers.get(`${flag}:${conversation}`) === true,
    put: (flag, conversation, on) => registers.set(`${flag}:${conversation}`, on || undefined),
    draft: (conversation) => (drafts.value, kept.of(conversation) || shared(conversation)),
    write(conversation, text) {
      typed = { conversation, text, at: Date.now() };
      if (kept.of(conversation)) keep(conversation, text);
      else registers.set(`draft:${conversation}`, text ? { text } : undefined);
    },
    sent(conversation) {
      typed.at = 0;
      if (kept.of(conversation)) keep(conversation, "");
      else registers.set(`draft:${conversation}`, undefined);
    },
    rest: () => void (typed.at = 0),
    other: (conversation) => (drafts.value, kept.of(conversation) && shared(conversation)),
    decide(conversation, mine) {
      const text = kept.of(conversation);
      typed.at = 0;
      keep(conversation, "");
      if (mine) registers.set(`draft:${conversation}`, { text });
    },
  };
}

/** Drafts of this tab alone, over a reload too. */
function keptTexts(): { of(conversation: string): string; put(conversation: string, text: string): void } {
  const prefix = `${key}.kept.`;
  const held = new Map(tab.keys().flatMap((name) => (name.startsWith(prefix) ? [[name.slice(prefix.length), tab.get(name) ?? ""]] : [])));
  return {
    of: (conversation) => held.get(conversation) ?? "",
    put(conversation, text) {
      held.set(conversation, text);
      if (text) tab.set(prefix + conversation, text);
      else tab.remove(prefix + conversation);
    },
  };
}

function textIn(value: unknown): string {
  return typeof value === "object" && value !== null && "text" in value && typeof value.text === "string" ? value.text : "";
}
