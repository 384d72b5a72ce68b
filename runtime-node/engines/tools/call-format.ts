/**
 * How a model writes its tool calls: data for the parser, the grammar and the history. Read from the model's own
 * chat template, since that is what it was trained on.
 */

export interface CallFormat {
  readonly id: "hermes" | "llama3" | "mistral" | "mistral-args" | "generic";
  /** The template takes `tools` and `tool_calls`. Otherwise we describe them in messages of our own. */
  readonly isInTemplate: boolean;
  /** False: the template refuses a system message. */
  readonly hasSystemRole: boolean;
  /** False: one call a message; the template throws at more. */
  readonly hasParallelCalls: boolean;
  /** What the template does with `arguments` in the history: print a text, or write an object as JSON. */
  readonly historyArguments: "object" | "text";
  /** Mistral's templates insist on nine letters and digits. */
  readonly callIds: "openai" | "nine";
  readonly reading: CallReading;
  readonly spelling: CallSpelling;
}

/** What the parser accepts: models stray from their template, so this is wider than the spelling. */
export interface CallReading {
  /** Begins calls wherever it stands. */
  readonly opener: string;
  /** Follows a call; may be missing in the answer, and empty. */
  readonly closer: string;
  /** A JSON object at the very start of the answer is a call too. */
  readonly isBareAtStart: boolean;
  /** `object`: JSON with a name and arguments, alone or in a list. `header`: the name, a separator, the arguments. */
  readonly shape: "object" | "header";
}

/** What the grammar and our own history write, to the character. */
export interface CallSpelling {
  readonly begin: string;
  readonly beforeName: string;
  readonly afterName: string;
  readonly afterArguments: string;
  readonly between: string;
  readonly end: string;
}

/** Between the name and the arguments of a `header` call. */
export const ARGUMENTS_MARK = "[ARGS]";

const TAGGED = {
  reading: { opener: "<tool_call>", closer: "</tool_call>", isBareAtStart: false, shape: "object" },
  spelling: {
    begin: "",
    beforeName: '<tool_call>\n{"name": "',
    afterName: '", "arguments": ',
    afterArguments: "}\n</tool_call>",
    between: "\n",
    end: "",
  },
} as const;

type Wording = Pick<CallFormat, "id" | "callIds" | "reading" | "spelling">;

const GENERIC: Wording = { id: "generic", callIds: "openai", ...TAGGED };
const HERMES: Wording = { id: "hermes", callIds: "openai", ...TAGGED };

/** Llama 3.1 writes custom calls as bare JSON; the tag stands before built-in tools, and some models put it before all. */
const LLAMA3: Wording = {
  id: "llama3",
  callIds: "openai",
  reading: { opener: "<|python_tag|>", closer: "", isBareAtStart: true, shape: "object" },
  spelling: {
    begin: "",
    beforeName: '{"name": "',
    afterName: '", "parameters": ',
    afterArguments: "}",
    between: "; ",
    end: "",
  },
};

/** One JSON list for all calls, up to Mistral Small 3.1. */
const MISTRAL: Wording = {
  id: "mistral",
  callIds: "nine",
  reading: { opener: "[TOOL_CALLS]", closer: "", isBareAtStart: false, shape: "object" },
  spelling: {
    begin: "[TOOL_CALLS][",
    beforeName: '{"name": "',
    afterName: '", "arguments": ',
    afterArguments: "}",
    between: ", ",
    end: "]",
  },
};

/** The name outside the JSON, since Mistral Small 3.2. */
const MISTRAL_ARGS: Wording = {
  id: "mistral-args",
  callIds: "nine",
  reading: { opener: "[TOOL_CALLS]", closer: "", isBareAtStart: false, shape: "header" },
  spelling: {
    begin: "",
    beforeName: "[TOOL_CALLS]",
    afterName: ARGUMENTS_MARK,
    afterArguments: "",
    between: "",
    end: "",
  },
};

/**
 * The call format of a chat template. `generic` where it knows no tools, or writes calls in a form we don't read:
 * then its own wording about tools is left out, and ours is put in.
 */
export function detectCallFormat(template: string | undefined): CallFormat {
  const text = template ?? "";
  const wording = takesTools(text) ? wordingOf(text) : GENERIC;
  return {
    ...wording,
    isInTemplate: wording !== GENERIC,
    hasSystemRole: !/system role (is )?not supported/i.test(text),
    hasParallelCalls: !text.includes("only supports single tool-calls"),
    historyArguments: historyArguments(text),
  };
}

/** A statement reads the variable; a mention in prose is not enough. */
function takesTools(template: string): boolean {
  return /\{%-?\s*(if|elif|for|set)\b[^%]*\btools\b/.test(template);
}

function wordingOf(template: string): Wording {
  if (template.includes("[TOOL_CALLS]")) {
    if (template.includes(ARGUMENTS_MARK)) return MISTRAL_ARGS;
    const isSpaced = template.includes("[TOOL_CALLS] [");
    return isSpaced ? { ...MISTRAL, spelling: { ...MISTRAL.spelling, begin: "[TOOL_CALLS] [" } } : MISTRAL;
  }
  // Qwen3-Coder (`<function=`) and GLM (`<arg_key>`) use the same tag around XML.
  const hasTags = template.includes("<tool_call>") && template.includes("</tool_call>");
  if (hasTags) return /<function=|<arg_key>/.test(template) ? GENERIC : HERMES;
  const isLlama3 =
    template.includes("<|python_tag|>") ||
    (template.includes("<|start_header_id|>") && /\\?"parameters\\?":/.test(template));
  return isLlama3 ? LLAMA3 : GENERIC;
}

/**
 * Templates that print `arguments` with `+` throw at an object; those that ask for its type or write it with
 * `tojson` would quote a text twice.
 */
function historyArguments(template: string): CallFormat["historyArguments"] {
  const asValue =
    /arguments['"\]\s)]*(\|\s*(tojson|items|dictsort)|\bis\s+(not\s+)?(string|mapping))|arguments\.items\(/;
  const asText = /arguments['"\]\s]*(\+|~|-?\}\})/;
  return asText.test(template) && !asValue.test(template) ? "text" : "object";
}
