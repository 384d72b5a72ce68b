import type { EngineCall } from "../engine.ts";
import { ApiError, invalidRequest } from "./errors.ts";
import type { EmbeddingRequest } from "./schemas.ts";

export interface Embedder {
  /** One input as a vector of length 1, and its tokens. Absent: the engine has no embeddings. */
  embed?(
    model: string,
    input: string | readonly number[],
    signal: AbortSignal,
  ): Promise<{ readonly vector: Float32Array; readonly tokens: number }>;
}

/** Answers an embeddings call with vectors of length 1, as floats or base64. */
export async function respondEmbeddings(
  call: EngineCall,
  body: EmbeddingRequest,
  embedder: Embedder,
): Promise<Response> {
  if (embedder.embed === undefined) {
    throw new ApiError(400, `The model \`${body.model}\` has no embeddings.`, { param: "model" });
  }
  let promptTokens = 0;
  call.report.read = () => ({
    usage: { promptTokens, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 },
    source: "engine",
  });
  const entries: unknown[] = [];
  for (const [index, input] of eachInput(body.input).entries()) {
    const { vector, tokens } = await embedder.embed(call.model, input, call.signal);
    promptTokens += tokens;
    const embedding = body.dimensions === undefined ? vector : shorten(vector, body.dimensions);
    entries.push({
      object: "embedding",
      index,
      embedding: body.encoding_format === "base64" ? toBase64(embedding) : Array.from(embedding),
    });
  }
  return Response.json({
    object: "list",
    data: entries,
    model: body.model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  });
}

/** The first `dimensions` numbers, brought back to length 1. */
function shorten(vector: Float32Array, dimensions: number): Float32Array {
  if (dimensions > vector.length) {
    throw invalidRequest(
      `Invalid 'dimensions': this model has ${vector.length}, ${dimensions} were asked for.`,
      "dimensions",
    );
  }
  const part = vector.slice(0, dimensions);
  const length = Math.hypot(...part);
  return length === 0 ? part : part.map((value) => value / length);
}

/** Little-endian float32, as openai-node and openai-python decode it. */
function toBase64(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(vector.length * 4));
  for (const [i, value] of vector.entries()) view.setFloat32(i * 4, value, true);
  let binary = "";
  for (const byte of new Uint8Array(view.buffer)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** A prompt or input field as its list: strings, or arrays of token ids. */
export function eachInput(
  field: string | string[] | number[] | number[][],
): readonly (string | readonly number[])[] {
  if (typeof field === "string") return [field];
  const tokens = field.filter((entry) => typeof entry === "number");
  return tokens.length > 0 ? [tokens] : field.filter((entry) => typeof entry !== "number");
}
