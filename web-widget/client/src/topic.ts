/** Builds the topic of `kind` in a conversation; "+" means every one I take part in. */
export const conversationTopic = (kind: "send" | "messages" | "marks" | "state", site: string, conversation: string): string =>
  `p1/${site}/c/${conversation}/${kind}`;

/** Builds the topic of `kind` of one device. */
export const deviceTopic = (kind: "errors" | "auth", site: string, user: string, device: string): string =>
  `p1/${site}/d/${user}.${device}/${kind}`;

/** The kind of a topic on which something is delivered, and the conversation that it is about, if any. */
export function placeOf(topic: string): { readonly kind: string; readonly id: string } {
  const [, , , id = "", ...kind] = topic.split("/");
  return { kind: kind.join("/"), id };
}
