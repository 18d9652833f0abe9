// The way to the server where a proxy forbids WebSocket. Loaded when the first
// connection fails, and not before.

import type { Fallback } from "../link";
import { Choice } from "./choice";

export { Tunnel } from "./tunnel";

/** A fallback for one client of the server with this origin. */
export function newFallback(server: string): Fallback {
  const choice = new Choice(server);
  return (ended) => Promise.resolve(choice.next(ended));
}
