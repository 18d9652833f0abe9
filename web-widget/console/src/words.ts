import type { Person } from "@parley-chat/client";
import { inject, provide, type InjectionKey } from "vue";
import { chooseLocale, type Texts } from "./texts";

export interface Words {
  readonly locale: string;
  readonly texts: Texts;
  nameOf(visitor: Person): string;
  /** A moment as a list tells it: the time today, else the day. */
  when(at: number): string;
}

const key: InjectionKey<Words> = Symbol("words");

/** Chooses the language for everything below. */
export function provideWords(): Words {
  const asked = new URLSearchParams(location.search).get("locale");
  const { locale, texts } = chooseLocale([...(asked ? [asked] : []), ...navigator.languages]);
  const words: Words = {
    locale,
    texts,
    nameOf: ({ id, name }) => name || `${texts.visitor} ${id.slice(-4)}`,
    when: (at) => when(new Date(at), locale),
  };
  document.documentElement.lang = locale;
  provide(key, words);
  return words;
}

export function useWords(): Words {
  const words = inject(key);
  if (!words) throw new Error("provideWords was not called above");
  return words;
}

function when(date: Date, locale: string): string {
  const now = new Date();
  if (date.toDateString() === now.toDateString()) return date.toLocaleTimeString(locale, { hour: "numeric", minute: "2-digit" });
  const year = date.getFullYear() === now.getFullYear() ? {} : ({ year: "numeric" } as const);
  return date.toLocaleDateString(locale, { month: "short", day: "numeric", ...year });
}
