// The client of Parley: talks to a server from any JavaScript runtime, keeps
// what is sent until the server has it, and shows every conversation in order.

export { Client, type ClientEvents, type ClientOptions } from "./client";
export { Conversation, type Item } from "./conversation";
export { maxBodyBytes } from "./draft";
export { textOf, type Entry, type Listed, type Refusal } from "./entry";
export { ParleyError, type Code } from "./errors";
export { isObject, parseJson } from "./json";
export type { ConnectionState, Ended, Fallback } from "./link";
export type { Outgoing } from "./outbox";
export type { Remembered, Session, SignIn } from "./session";
export { newestOwn, rowsOf, type Bubble, type Row } from "./rows";
export type { Mark, Person, State, Status } from "./state";
export { isBlank, partsOf } from "./words";
export { memoryStorage, webStorage, type Storage } from "./storage";
