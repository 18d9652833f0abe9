import { randomBytes } from "./platform";

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** `prefix` and 128 random bits in lower-case base32, the form the server makes too. */
export function newId(prefix: "msg_" | "cnv_" | "set_"): string {
  let id: string = prefix;
  let bits = 0;
  let held = 0;
  for (const byte of randomBytes(16)) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      id += alphabet.charAt((held >> bits) & 31);
    }
    held &= 31;
  }
  return id + alphabet.charAt((held << (5 - bits)) & 31);
}

/** Whether `s` may identify a message. */
export const validMessageId = (s: string): boolean => /^[\w-]{8,64}$/.test(s);
