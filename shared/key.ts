import { KEY_PREFIX } from "./config-billing.ts";
import { sha256 } from "./sha256.ts";

/** A key as it is made: the text is shown once, the rest is kept. */
export interface NewKey {
  readonly key: string;
  readonly sha256: string;
  readonly hint: string;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** 43 of 62 letters: 256 bits. */
const SECRET_CHARS = 43;
const HINT_CHARS = 4;
/** A shorter key would be half told by its first and last characters. */
const MIN_SHOWN_CHARS = 24;

/** `sk-slc-` and 256 random bits, in letters and digits so that a double click takes all of it. */
export async function makeKey(): Promise<NewKey> {
  const key = KEY_PREFIX + randomLetters(SECRET_CHARS);
  return { key, sha256: await sha256(key), hint: hintOf(key) };
}

/** Names a key; no secret. */
export function makeKeyId(): string {
  return `key_${randomLetters(16)}`;
}

/** In a time that does not tell where two hashes differ. */
export function isSameHash(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return difference === 0;
}

export function hintOf(key: string): string {
  return key.slice(-HINT_CHARS);
}

/** As OpenAI shows a key in its errors: enough to tell which one it was. */
export function maskKey(key: string): string {
  return key.length < MIN_SHOWN_CHARS ? "***" : `${key.slice(0, KEY_PREFIX.length)}***${hintOf(key)}`;
}

function randomLetters(count: number): string {
  let letters = "";
  while (letters.length < count) {
    for (const byte of crypto.getRandomValues(new Uint8Array(count))) {
      // The bytes above the last whole multiple would make the first letters likelier.
      if (byte < 256 - (256 % ALPHABET.length) && letters.length < count)
        letters += ALPHABET[byte % ALPHABET.length];
    }
  }
  return letters;
}
