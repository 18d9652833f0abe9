import type { Files } from "@parley-chat/files";
import type { Texts } from "../texts";

/** The language of the page: the context that App gives to every component below it, as their second argument. */
export interface Words {
  readonly locale: string;
  readonly texts: Texts;
  /** What deals with files, once it has been loaded. */
  readonly files?: Files | undefined;
}
