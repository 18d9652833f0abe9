// Files in a conversation, for any page. Plain DOM, so that the visitor's window
// and the agents' page share it: they give places, it fills them.

export { Files, type Place } from "./files";
