// The hand-written decoders against the contract: this file only has to compile.
// openapi.d.ts beside it is made from api/openapi.yaml by `npm run check`.

import type { Attached, Entry, Page } from "../src/entry";
import type { Code } from "../src/errors";
import type { Found, Hit, Piece } from "../src/search";
import type { State, StatePage } from "../src/state";
import type { components, paths } from "./openapi";

type Schemas = components["schemas"];

/** What the server says it sends is what we say we read. */
export const reads = {
  state: (from: Schemas["State"]): State => from,
  statePage: (from: Schemas["ConversationPage"]): Omit<StatePage, "nextCursor"> => from,
  entry: (from: Schemas["Entry"]): Omit<Entry, "device"> => from,
  page: (from: Schemas["EntryPage"]): Omit<Page, "entries"> => from,
  /** Edits and deletes from outside the page. What we hold goes up to the newest entry, so that it has them. */
  amendment: (from: Schemas["EntryPage"]["amendments"][number]): Omit<Entry, "device"> => from,
  found: (from: Schemas["SearchPage"]): Omit<Found, "hits" | "nextCursor"> => from,
  hit: (from: Schemas["SearchHit"]): Omit<Hit, "snippet"> => from,
  piece: (from: Schemas["SnippetPiece"]): Pick<Piece, "text"> => from,
  code: (from: Schemas["Problem"]["code"]): Code => from,
  upload: (from: Schemas["Attachment"]): { id: string; offset: number; complete: boolean; chunk: number } => from,
  attached: (from: Schemas["Attachment"]): Partial<Omit<Attached, "id">> & Pick<Attached, "id"> => from,
  links: (from: Schemas["Attachment"]): { fileUrl?: string; thumbnailUrl?: string } => from,
};

/** What we may meet is what the contract knows. */
export const knows = {
  code: (code: Code): Schemas["Problem"]["code"] => code,
  status: (state: State): Schemas["State"]["status"] => state.status,
};

/** The paths that the client calls exist. */
export type Called = [
  paths["/v1/visitor-sessions"]["post"],
  paths["/v1/agent-sessions"]["post"],
  paths["/v1/tokens/refresh"]["post"],
  paths["/v1/me/registers"]["get"],
  paths["/v1/me/registers"]["post"],
  paths["/v1/conversations"]["get"],
  paths["/v1/conversations/{id}"]["get"],
  paths["/v1/conversations/{id}/claim"]["post"],
  paths["/v1/conversations/{id}/close"]["post"],
  paths["/v1/conversations/{id}/messages"]["get"],
  paths["/v1/conversations/{id}/attachments"]["post"],
  paths["/v1/attachments/{attachment}"]["get" | "patch" | "delete"],
  paths["/v1/attachments/{attachment}/complete"]["post"],
  paths["/v1/search"]["get"],
];

/** What the client sends is what the contract asks for. */
export const sends = {
  visitor: (siteKey: string, refreshToken: string, device: string, name: string): Schemas["VisitorSessionRequest"] => ({ siteKey, refreshToken, device, name }),
  agent: (site: string, email: string, password: string, device: string): Schemas["AgentSessionRequest"] => ({ site, email, password, device }),
  refresh: (refreshToken: string): Schemas["RefreshRequest"] => ({ refreshToken }),
  upload: (name: string, size: number): Schemas["NewAttachment"] => ({ name, size }),
};
