// Topics as the server reads them.

export type TopicKind =
  | "send"
  | "messages"
  | "notes/send"
  | "notes"
  | "marks"
  | "state"
  | "signals"
  | "events"
  | "set"
  | "errors"
  | "auth"
  | "presence"
  | "visits";

/** A parsed topic or filter; which fields are set follows from kind. In a filter, conversation or user may be "+". */
export interface Topic {
  readonly kind: TopicKind;
  readonly site: string;
  readonly conversation?: string;
  readonly user?: string;
  readonly device?: string;
}

const maxLength = 256;
const ofConversation = ["send", "messages", "notes/send", "notes", "marks", "state", "signals"] as const;
const ofUser = ["events", "set"] as const;
const ofDevice = ["errors", "auth"] as const;
const ofSite = ["presence", "visits"] as const;
const membership: readonly TopicKind[] = ["messages", "notes", "state", "signals", "presence", "visits"];

/** Parses a topic name; undefined if there is no such topic. */
export function parseTopic(s: string): Topic | undefined {
  const topic = parse(s);
  return topic && !isWildcard(topic) ? topic : undefined;
}

/** Parses a topic filter; undefined if it is not available. */
export function parseFilter(s: string): Topic | undefined {
  const topic = parse(s);
  return topic && (!isWildcard(topic) || membership.includes(topic.kind)) ? topic : undefined;
}

const validId = (s: string): boolean => /^[\w-]{1,64}$/.test(s);

const isWildcard = (topic: Topic): boolean => topic.conversation === "+" || topic.user === "+";

function parse(s: string): Topic | undefined {
  const [prefix, site = "", room = "", who = "", ...rest] = s.split("/");
  if (s.length > maxLength || prefix !== "p1" || !validId(site)) return undefined;
  const kind = rest.join("/");
  const [user = "", device = "", more] = who.split(".");
  if (room === "d") return validId(user) && validId(device) && more === undefined ? make(ofDevice, kind, { site, user, device }) : undefined;
  if (who !== "+" && !validId(who)) return undefined;
  if (room === "c") return make(ofConversation, kind, { site, conversation: who });
  if (room === "u") return make(ofUser, kind, { site, user: who });
  return rest.length > 0 ? undefined : make(ofSite, room, { site, user: who });
}

function make(kinds: readonly TopicKind[], name: string, where: Omit<Topic, "kind">): Topic | undefined {
  const kind = kinds.find((one) => one === name);
  return kind && { kind, ...where };
}
