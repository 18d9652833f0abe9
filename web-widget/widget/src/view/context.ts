import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Texts } from "../texts";

export interface Words {
  readonly locale: string;
  readonly texts: Texts;
}

export const WordsContext = createContext<Words | undefined>(undefined);

/** The language of the page. */
export function useWords(): Words {
  const words = useContext(WordsContext);
  if (!words) throw new Error("no words");
  return words;
}
