import { ParleyError, type Client } from "@parley-chat/client";
import { searchMessages, type Found, type Hit } from "@parley-chat/client/search";
import { computed, onUnmounted, ref, shallowRef, watch, type ComputedRef, type Ref } from "vue";
import { none, useAnswer } from "./hits";
import type { Texts } from "./texts";

/** Why a search has failed. What the server calls "invalid" has nothing to search for, is too long, or is too much. */
export type Trouble = keyof Texts["searchTroubles"];

/** Finds messages while words are typed. All reading is reactive. */
export interface Finder {
  /** What is in the field. */
  readonly text: Ref<string>;
  /** What is searched for, empty for nothing. */
  readonly words: ComputedRef<string>;
  /** Newest first. While the words have changed, those of the words before. */
  readonly hits: ComputedRef<readonly Hit[]>;
  /** Whether the hits are not those of the words yet. */
  readonly searching: ComputedRef<boolean>;
  /** Whether there are more hits, and whether they are under way. */
  readonly hasMore: ComputedRef<boolean>;
  readonly loading: Ref<boolean>;
  /** The time was up before everything was looked through. */
  readonly partial: ComputedRef<boolean>;
  /** The index does not have everything yet. */
  readonly indexing: ComputedRef<boolean>;
  readonly trouble: ComputedRef<Trouble | undefined>;
  /** Searches at once, also for what has failed. */
  go(): void;
  more(): void;
  /** Nothing of this conversation may be seen any more. */
  forget(conversation: string): void;
}

/** A pause in typing, in ms. */
const pause = 300;
/** Characters; the server takes no more. */
const longest = 200;
/** How long changes gather before what they may have changed is searched for anew, and until that is tried again, in ms. */
const gather = 1_000;
const again = 5_000;

/** Searches as an agent. One search runs at a time, the newest words count: the server lets a user have two. Ends with the component that calls it. */
export function useFinder(client: Pick<Client, "call" | "on" | "state" | "conversations">): Finder {
  const text = ref("");
  const words = computed(() => text.value.trim());
  const failure = shallowRef<{ words: string; trouble: Trouble }>();
  const loading = ref(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let renewal: ReturnType<typeof setTimeout> | undefined;
  const renewSoon = (ms = gather): void => {
    if (words.value) renewal ??= setTimeout(() => void renew(), ms);
  };
  const { answer, take, forget, stop } = useAnswer(client, () => renewSoon());
  /** Searches for the same words again, as far back as is shown. */
  const renew = async (): Promise<void> => {
    renewal = undefined;
    const { words: asked, hits } = answer.value;
    if (loading.value) return renewSoon();
    if (!asked || asked !== words.value) return; // the answer to come is new
    loading.value = true;
    const before = new Map(client.conversations);
    try {
      const found = await searchAsFar(client, asked, hits.length);
      if (asked === words.value) take({ ...found, words: asked }, before);
    } catch (error) {
      if (error instanceof ParleyError && error.retry && client.state === "online") renewSoon(again);
    }
    loading.value = false;
    if (asked !== words.value) void ask();
  };

  const ask = async (cursor = ""): Promise<void> => {
    clearTimeout(timer);
    if (loading.value || !words.value) return;
    loading.value = true;
    failure.value = undefined;
    const asked = words.value;
    const before = new Map(client.conversations);
    try {
      const found = await searchMessages(client, asked, cursor);
      if (asked === words.value) take({ ...found, words: asked }, before, cursor !== "");
    } catch (error) {
      failure.value = { words: asked, trouble: troubleOf(error, asked) };
    }
    loading.value = false;
    if (asked !== words.value) void ask(); // typed meanwhile
  };

  watch(words, (now) => {
    clearTimeout(timer);
    if (now) timer = setTimeout(() => searching.value && void ask(), pause);
    else answer.value = none;
  });
  const stops = [
    stop,
    client.on("state", (state) => state === "online" && renewSoon()), // what was missed
    () => clearTimeout(timer),
    () => clearTimeout(renewal),
  ];
  onUnmounted(() => stops.forEach((stop) => stop()));

  const trouble = computed(() => (failure.value?.words === words.value ? failure.value.trouble : undefined));
  const searching = computed(() => answer.value.words !== words.value && !trouble.value);
  const hasMore = computed(() => answer.value.words === words.value && answer.value.nextCursor !== "");
  return {
    text,
    words,
    hits: computed(() => (trouble.value && answer.value.words !== words.value ? [] : answer.value.hits)),
    searching,
    hasMore,
    loading,
    partial: computed(() => !searching.value && answer.value.partial),
    indexing: computed(() => !searching.value && answer.value.indexing),
    trouble,
    go: () => void (searching.value || trouble.value ? ask(hasMore.value ? answer.value.nextCursor : "") : undefined),
    more: () => void (hasMore.value ? ask(answer.value.nextCursor) : undefined),
    forget,
  };
}

/** Searches page by page until there are so many hits, or no more. */
async function searchAsFar(client: Pick<Client, "call">, words: string, count: number): Promise<Found> {
  let found = await searchMessages(client, words);
  while (found.nextCursor && !found.partial && found.hits.length < count) {
    const next = await searchMessages(client, words, found.nextCursor);
    found = { ...next, hits: [...found.hits, ...next.hits] };
  }
  return found;
}

function troubleOf(error: unknown, words: string): Trouble {
  const code = error instanceof ParleyError ? error.code : "internal";
  if (code === "rate_limited" || code === "unavailable" || code === "unauthenticated") return code;
  if (code !== "invalid") return "internal";
  if ([...words].length > longest) return "long";
  return /[\p{L}\p{N}\p{Extended_Pictographic}]/u.test(words) ? "costly" : "nothing";
}
