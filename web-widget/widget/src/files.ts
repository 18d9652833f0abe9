// The script beside widget.js that deals with files, loaded when the chat is opened.

import { Files } from "@parley-chat/files";
import type { Chat } from "./chat";

/** The files of a chat. `changed` is called when what is gathered has changed. */
export const newFiles = (chat: Chat, locale: string, changed: () => void): Files =>
  new Files({ client: chat.client, server: chat.server, locale, conversation: () => chat.conversation.id, changed });
