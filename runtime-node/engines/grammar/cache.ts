import { type CompiledGrammar, compileJsonSchema } from "./json-schema.ts";

export interface GrammarCache {
  /** The schema's grammar or its refusal, compiled at most once while it stays among the last used. */
  compile(schema: unknown): CompiledGrammar;
}

/**
 * Keeps the grammars of the last `size` schemas. Schemas are the same when their JSON text is: the order of
 * properties is the order in which they are written, so it counts.
 */
export function createGrammarCache(size = 256): GrammarCache {
  const kept = new Map<string, CompiledGrammar>();
  return {
    compile(schema) {
      const key = JSON.stringify(schema) ?? "undefined";
      const compiled = kept.get(key) ?? compileJsonSchema(schema);
      kept.delete(key);
      kept.set(key, compiled);
      for (const oldest of kept.keys()) {
        if (kept.size <= size) break;
        kept.delete(oldest);
      }
      return compiled;
    },
  };
}
