const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** Bytes from here on would favour the first letters. */
const FAIR = 256 - (256 % LETTERS.length);

/** A fresh id of a tool call: OpenAI's form, or the nine letters and digits Mistral's templates insist on. */
export function createCallId(form: "openai" | "nine"): string {
  return form === "nine" ? randomText(9) : `call_${randomText(24)}`;
}

function randomText(length: number): string {
  let text = "";
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length * 2))) {
      if (byte < FAIR && text.length < length) text += LETTERS.charAt(byte % LETTERS.length);
    }
  }
  return text;
}
