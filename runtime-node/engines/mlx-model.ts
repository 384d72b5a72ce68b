import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What a model's directory tells of its context: mlx_lm.server itself looks at none of it. */
export interface MlxModelFacts {
  readonly contextSize?: number;
  /** Characters of the longest token: a longer prompt than context × this can't fit, whatever its tokens are. */
  readonly longestToken?: number;
}

/** Empty for a repository's name: its files are known once mlx_lm has fetched them. */
export function readMlxModel(directory: string): MlxModelFacts {
  const { max_position_embeddings: contextSize } = readJson(join(directory, "config.json"));
  const { model }: { model?: unknown } = readJson(join(directory, "tokenizer.json"));
  const { vocab }: { vocab?: unknown } = Object(model);
  const tokens = Object.keys(Object(vocab));
  return {
    ...(typeof contextSize === "number" ? { contextSize } : {}),
    // Spread over a call's arguments a large vocabulary would be too long.
    ...(tokens.length > 0
      ? { longestToken: tokens.reduce((most, { length }) => Math.max(most, length), 1) }
      : {}),
  };
}

function readJson(path: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return {}; // No such file: nothing is known.
  }
}
