import type { Token } from "node-llama-cpp";

/** node-llama-cpp brands its tokens; an id below the vocabulary's size is one. */
export function toToken(id: number): Token {
  return id as Token;
}
