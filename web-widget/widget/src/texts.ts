import { isObject } from "@parley-chat/client";

/** What the widget says in English; `{}` stands for what is said about. */
export const en = {
  open: "Open chat",
  close: "Close chat",
  title: "Chat with us",
  subtitle: "Write to us, we answer here",
  waiting: "We will be with you soon",
  agent: "Your contact",
  emptyTitle: "Hello! How can we help?",
  emptyText: "Ask anything. Your messages are kept, even if the connection drops.",
  placeholder: "Write a message…",
  send: "Send",
  log: "Messages",
  you: "You",
  older: "Show earlier messages",
  loading: "Loading…",
  newMessages: "New messages",
  historyStarts: "Earlier messages are no longer available",
  today: "Today",
  yesterday: "Yesterday",
  sending: "Sending…",
  kept: "Not sent yet",
  sent: "Sent",
  read: "Read",
  retry: "Try again",
  discard: "Delete",
  change: "Change this message",
  edit: "Edit",
  edited: "edited",
  deleted: "This message was deleted",
  editing: "Editing your message",
  cancel: "Cancel",
  late: "This message can no longer be changed",
  seen: "OK",
  reuse: "Use as a new message",
  blank: "Empty message",
  connecting: "Connecting…",
  offline: "Offline – your messages are kept and will be sent",
  notHere: "This page’s address is not allowed for this site. Its owner can add {} to the site’s origins.",
  replaced: "This chat is open in another window",
  takeOver: "Continue here",
  unavailable: "Chat is not available on this page",
  joined: "{} has joined",
  closed: "This conversation was closed. Write again to reopen it.",
  oneUnread: "1 unread message",
  unread: "{} unread messages",
  tooLong: "This message is too long. Please send it in parts.",
  failed: "Not sent: the message {}",
  refused_invalid: "could not be read by the server",
  refused_too_large: "is too long",
  refused_forbidden: "is not allowed here",
  refused_not_found: "belongs to a conversation that is gone",
  refused_conflict: "was already sent with other words",
  refused_closed: "came after the conversation was closed",
};

/** The same in any language. */
export type Texts = Readonly<Record<keyof typeof en, string>>;

/** The language to use: the first of those wished for that there is, else English. */
export const chooseLocale = (wished: readonly string[]): string => wished.find((locale) => /^(en|zh)\b/i.test(locale)) ?? "en";

/** A language from outside. What it lacks is said in English. */
export function decodeTexts(value: unknown): Texts {
  const texts: Record<string, unknown> = isObject(value) ? value : {};
  return { ...en, ...Object.fromEntries(Object.entries(texts).filter(([, words]) => typeof words === "string")) };
}

/** Puts `value` where the words have a place for it. */
export const fill = (words: string, value: string | number): string => words.replace("{}", () => String(value));
