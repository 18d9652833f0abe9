// The second script beside widget.js, which loads it where a WebSocket fails.

export { newFallback } from "@parley-chat/client/tunnel";
