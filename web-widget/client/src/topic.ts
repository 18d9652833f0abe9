import { validId } from "./ids";

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

/** Builds the topic of `kind` in a conversation; "+" means every one I take part in. */
export const conversationTopic = (kind: (typeof ofConversation)[number], site: string, conversation: string): string =>
  `p1/${site}/c/${conversation}/${kind}`;

/** Builds the topic of `kind` of one device. */
export const deviceTopic = (kind: (typeof ofDevice)[number], site: string, user: string, device: string): string =>
  `p1/${site}/d/${user}.${device}/${kind}`;

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

const isWildcard = (topic: Topic): boolean => topic.conversation === "+" || topic.user === "+";

function parse(s: string): Topic | undefined {
  const [prefix, site = "", room, who = "", ...rest] = s.split("/");
  if (s.length > maxLength || prefix !== "p1" || !validId(site)) return undefined;
  const kind = rest.join("/");
  switch (room) {
    case "c":
      return make(ofConversation, kind, idOrAny(who), (kind) => ({ kind, site, conversation: who }));
    case "u":
      return make(ofUser, kind, idOrAny(who), (kind) => ({ kind, site, user: who }));
    case "d":
      return ofOneDevice(site, kind, who);
  }
  if (rest.length > 0) return undefined;
  return make(ofSite, room ?? "", idOrAny(who), (kind) => ({ kind, site, user: who }));
}

function ofOneDevice(site: string, kind: string, clientId: string): Topic | undefined {
  const [user = "", device = "", more] = clientId.split(".");
  const valid = more === undefined && validId(user) && validId(device);
  return make(ofDevice, kind, valid, (kind) => ({ kind, site, user, device }));
}

function make<K extends TopicKind>(kinds: readonly K[], name: string, valid: boolean, build: (kind: K) => Topic): Topic | undefined {
  const kind = kinds.find((one) => one === name);
  return valid && kind !== undefined ? build(kind) : undefined;
}

const idOrAny = (s: string): boolean => s === "+" || validId(s);
