import type { Client } from "@parley-chat/client";
import { Files } from "@parley-chat/files";
import { onUnmounted, shallowRef, type ShallowRef } from "vue";

/** The files of one conversation, with those that go with what is being written there. */
export interface Gathered {
  readonly files: Files;
  readonly count: ShallowRef<number>;
}

/** The files of every conversation: uploads go on while another one is open. Ends with the component that calls it. */
export function useFiles(client: Client, locale: string): (conversation: string) => Gathered {
  const all = new Map<string, Gathered>();
  onUnmounted(() => all.forEach(({ files }) => files.stop()));
  return (conversation) => {
    for (const [id, { files }] of all) {
      if (id === conversation || files.count > 0) continue;
      files.stop();
      all.delete(id);
    }
    const known = all.get(conversation);
    if (known) return known;
    const count = shallowRef(0);
    const files: Files = new Files({ client, server: "", locale, conversation: () => conversation, changed: () => void (count.value = files.count) });
    const made = { files, count };
    all.set(conversation, made);
    return made;
  };
}
