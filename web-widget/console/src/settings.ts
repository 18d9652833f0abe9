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
  /** What was begun on this device and is not the draft, since another device has changed it meanwhile; empty if there is nothing. */
  kept(conversation: string): string;
  forgetKept(conversation: string): void;
}

const local = webStorage(() => localStorage);
const tab = webStorage(() => sessionStorage);
const key = "parley.console";

/** The settings of whoever is signed in. Ends with the component that calls it. */
export function useSettings(client: Client): Settings {
  const { site = "", user = "" } = client.session ?? {};
  const drafts = shallowRef(0);
  // A list of thousands is not sorted anew with every letter of a draft.
  const flagged = shallowRef("");
  const keptKey = (conversation: string): string => `${key}.kept.${conversation}`;

  const lost = (name: string, value: unknown): void => {
    const conversation = /^draft:(.+)/.exec(name)?.[1];
    if (conversation && textIn(value)) tab.set(keptKey(conversation), textIn(value));
    drafts.value++;
  };
  const registers = new Registers({ client, storage: local, namespace: `${key}.${site}.${user}`, lost });
  const show = (): void => {
    drafts.value++;
    flagged.value = flags.flatMap((flag) => registers.keys(`${flag}:`)).join();
  };
  registers.subscribe(show);
  show();
  onUnmounted(() => registers.stop());

  return {
    has: (flag, conversation) => flagged.value !== "" && registers.get(`${flag}:${conversation}`) === true,
    put: (flag, conversation, on) => registers.set(`${flag}:${conversation}`, on || undefined),
    draft: (conversation) => (drafts.value, textIn(registers.get(`draft:${conversation}`))),
    write: (conversation, text) => registers.set(`draft:${conversation}`, text ? { text } : undefined),
    kept: (conversation) => (drafts.value, tab.get(keptKey(conversation)) ?? ""),
    forgetKept(conversation) {
      tab.remove(keptKey(conversation));
      drafts.value++;
    },
  };
}

function textIn(value: unknown): string {
  return typeof value === "object" && value !== null && "text" in value && typeof value.text === "string" ? value.text : "";
}
