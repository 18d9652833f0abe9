import { field, isObject, parseJson } from "./json";

const codes = [
  "invalid",
  "too_large",
  "unauthenticated",
  "forbidden",
  "not_found",
  "conflict",
  "stale",
  "closed",
  "rate_limited",
  "unavailable",
  "internal",
] as const;

/** Why something was refused. The set is closed; the server uses the same words. */
export type Code = (typeof codes)[number];

/** Codes of what can pass by itself. */
const passing: readonly Code[] = ["rate_limited", "unavailable", "internal"];

/** A refusal or failure that a program can act on. `retry` says whether the same thing can succeed later by itself. */
export class ParleyError extends Error {
  readonly code: Code;
  readonly retry: boolean;

  constructor(code: Code, message: string, retry = passing.includes(code)) {
    super(message);
    this.name = "ParleyError";
    this.code = code;
    this.retry = retry;
  }
}

/** Reads a code; what this version does not know is "internal". */
export function decodeCode(value: unknown): Code {
  return codes.find((code) => code === value) ?? "internal";
}

const ofStatus: Readonly<Record<number, Code>> = {
  401: "unauthenticated",
  403: "forbidden",
  404: "not_found",
  409: "conflict",
  413: "too_large",
  429: "rate_limited",
};

/** Makes the error of an HTTP answer that is not 2xx: problem+json, or whatever a proxy in between has put there. */
export function decodeProblem(status: number, text: string): ParleyError {
  const problem = parseJson(text);
  if (isObject(problem) && typeof problem["code"] === "string") {
    const code = decodeCode(problem["code"]);
    return new ParleyError(code, field.text(problem, "detail", ""), typeof problem["retry"] === "boolean" ? problem["retry"] : undefined);
  }
  return new ParleyError(ofStatus[status] ?? (status < 500 ? "invalid" : "unavailable"), `HTTP ${status}`);
}

/** The error inside whatever was thrown. */
export function errorOf(thrown: unknown): ParleyError {
  return thrown instanceof ParleyError ? thrown : new ParleyError("internal", String(thrown));
}
