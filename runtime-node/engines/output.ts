import type { GenerateRequest } from "../../shared/engine.ts";
import { invalidRequest, unsupported } from "../../shared/openai/errors.ts";
import { createGrammarCache, type GrammarCache } from "./grammar/cache.ts";
import { jsonObjectGrammar } from "./grammar/json-schema.ts";
import type { CallFormat } from "./tools/call-format.ts";
import { callGrammar } from "./tools/call-grammar.ts";
import { createOutputParser, type OutputParser } from "./tools/output-parser.ts";
import type { Reasoning } from "./tools/reasoning.ts";

/** What the text of one generation is held to, and how it is read. */
export interface OutputPlan {
  /** GBNF; undefined: any text. */
  readonly grammar: string | undefined;
  /** Separates calls and reasoning from content; undefined: all of it is content. */
  readonly parser: OutputParser | undefined;
}

export interface OutputPlanner {
  /** Throws a 400 for a schema that no grammar expresses, and for what doesn't go together. */
  plan(request: GenerateRequest, reasoning: Reasoning | undefined): OutputPlan;
}

/** Compiling 128 tools takes some hundred ms, and an agent sends the same ones at every turn. */
const KEPT_CALL_GRAMMARS = 64;

export function createOutputPlanner(format: CallFormat): OutputPlanner {
  const schemas = createGrammarCache();
  const calls = new Map<string, string | undefined>();

  function callGrammarOf({ tools }: GenerateRequest, reasoning: Reasoning | undefined): string | undefined {
    if (tools === undefined || tools.choice === "none") return undefined;
    const key = JSON.stringify([{ ...tools, allowed: [...tools.allowed] }, reasoning]);
    const known = calls.get(key);
    if (known !== undefined) return known;
    const made = callGrammar(tools, format, reasoning);
    calls.set(key, made);
    const oldest = calls.keys().next();
    if (calls.size > KEPT_CALL_GRAMMARS && !oldest.done) calls.delete(oldest.value);
    return made;
  }

  return {
    plan(request, reasoning) {
      if (request.prompt.kind !== "chat") return { grammar: undefined, parser: undefined };
      const { tools, format: wanted, topLogprobs } = request;
      const grammar =
        wanted === undefined ? callGrammarOf(request, reasoning) : formatGrammar(wanted, schemas);
      if (grammar !== undefined && topLogprobs !== undefined) {
        throw unsupported(
          "logprobs",
          "`logprobs` of text that a schema or a forced call holds is not supported by this engine.",
        );
      }
      // Held to JSON from the first token, the text is never reasoning.
      if (wanted !== undefined) return { grammar, parser: undefined };
      const names = tools === undefined || tools.choice === "none" ? new Set<string>() : tools.allowed;
      if (names.size === 0 && reasoning === undefined) return { grammar, parser: undefined };
      const parser = createOutputParser({
        format,
        names,
        reasoning,
        ...(tools?.parallel === false ? { maxCalls: 1 } : {}),
        isForced: tools?.choice === "required",
      });
      return { grammar, parser };
    },
  };
}

function formatGrammar(wanted: NonNullable<GenerateRequest["format"]>, schemas: GrammarCache): string {
  switch (wanted.kind) {
    case "json_object":
      return jsonObjectGrammar();
    case "json_schema": {
      const compiled = schemas.compile(wanted.schema);
      if (compiled.ok) return compiled.grammar;
      throw invalidRequest(compiled.message, wanted.param);
    }
    default:
      return wanted satisfies never;
  }
}
