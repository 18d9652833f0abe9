import { inject, provide, type InjectionKey } from "vue";
import { chooseLocale, type Texts } from "./texts";

export interface Words {
  readonly locale: string;
  readonly texts: Texts;
}

const key: InjectionKey<Words> = Symbol("words");

/** Chooses the language for everything below. */
export function provideWords(): Words {
  const asked = new URLSearchParams(location.search).get("locale");
  const words = chooseLocale([...(asked ? [asked] : []), ...navigator.languages]);
  document.documentElement.lang = words.locale;
  provide(key, words);
  return words;
}

export function useWords(): Words {
  const words = inject(key);
  if (!words) throw new Error("provideWords was not called above");
  return words;
}
