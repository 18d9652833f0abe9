import { computed, nextTick, ref, watch, type ComputedRef, type Ref } from "vue";

/** How high one row is, in px. The style sheet says so too. */
export const rowHeight = 64;
/** Rows beyond the edges that are there all the same: the Tab key and readers of the page go on to them. */
const margin = 8;

export interface Window {
  /** The indexes of the rows to draw, from the top. */
  readonly shown: ComputedRef<number[]>;
  /** Draws the row, and gives it the focus. */
  focus(index: number): Promise<void>;
}

export interface WindowOptions {
  /** The element whose rows they are, one child for each that is drawn. */
  readonly list: Readonly<Ref<HTMLElement | null>>;
  /** What scrolls around it. */
  readonly scroller: () => HTMLElement | null;
  /** Something that is new whenever rows are. */
  readonly rows: () => readonly unknown[];
  /** The row that has the focus, which is drawn wherever it is; -1 if none has. */
  readonly focused: () => number;
}

/** Of a list as long as it may be, only the rows that can be seen. */
export function useWindow({ list, scroller, rows, focused }: WindowOptions): Window {
  const from = ref(0);
  const to = ref(margin);
  const wanted = ref(-1);

  const measure = (): void => {
    const around = scroller()?.getBoundingClientRect();
    const top = list.value?.getBoundingClientRect().top;
    if (!around || top === undefined) return;
    from.value = Math.floor((around.top - top) / rowHeight) - margin;
    to.value = Math.ceil((around.bottom - top) / rowHeight) + margin;
  };

  const follow = (around: HTMLElement | null, _: unknown, onCleanup: (run: () => void) => void): void => {
    if (!around) return;
    const resized = new ResizeObserver(measure);
    resized.observe(around);
    around.addEventListener("scroll", measure, { passive: true });
    onCleanup(() => {
      resized.disconnect();
      around.removeEventListener("scroll", measure);
    });
    measure();
  };
  watch(scroller, follow, { flush: "post", immediate: true });
  // What stands above this list grows and shrinks too: all lists are made anew together.
  watch(rows, measure, { flush: "post" });

  const shown = computed(() => {
    const count = rows().length;
    const all = new Set([focused(), wanted.value].filter((i) => i >= 0 && i < count));
    for (let i = Math.max(0, from.value); i < Math.min(count, to.value); i++) all.add(i);
    return [...all].sort((a, b) => a - b);
  });

  return {
    shown,
    async focus(index) {
      wanted.value = index;
      await nextTick();
      list.value?.querySelector<HTMLElement>(`[data-index="${index}"] button`)?.focus();
      wanted.value = -1;
    },
  };
}
