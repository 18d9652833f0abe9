import { expect, it } from "vitest";
import { isBlank, partsOf } from "../src/words";

it.each([
  ["", true],
  [" \t\n\u00a0\u3000", true],
  ["\u200b\u2060\ufeff\u00ad", true],
  ["\u2800\u3164", true],
  [".", false],
  ["👍🏽", false],
  ["\u200b字", false],
])("knows whether there is something to see in %j", (text, blank) => {
  expect(isBlank(text)).toBe(blank);
});

it.each([
  ["no address", ["no address"]],
  ["see https://a.example/b?c=1.", ["see ", "https://a.example/b?c=1", "."]],
  ["请看https://a.example，谢谢", ["请看", "https://a.example", "，谢谢"]],
  ["javascript:alert(1) data:text/html,x", ["javascript:alert(1) data:text/html,x"]],
])("splits %j at its addresses", (text, parts) => {
  expect(partsOf(text)).toEqual(parts);
});
