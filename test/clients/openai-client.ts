import OpenAI from "openai";
import { checkedFetch } from "../harness/oracle.ts";

export interface ClientOptions {
  readonly maxRetries?: number;
  readonly fetch?: typeof fetch;
  readonly apiKey?: string;
  readonly adminAPIKey?: string;
}

/** OpenAI's own client; whatever it sees is validated against OpenAI's schemas. It tries once unless told otherwise. */
export function clientOf(baseURL: string, options: ClientOptions = {}): OpenAI {
  return new OpenAI({ baseURL, apiKey: "none", maxRetries: 0, fetch: checkedFetch, ...options });
}

/** What `call` rejects with. */
export async function failureOf(call: PromiseLike<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (thrown) {
    return thrown;
  }
  throw new Error("The call did not fail");
}
