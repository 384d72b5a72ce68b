import { beforeEach, inject } from "vitest";

/** The tests of what several engines can't do. */
const CHOICES = [
  "answers n choices, each with its index, and counts all of them",
  "sends each of n choices whole",
  "gathers n choices",
  "answers every prompt n times, in order",
];
const SEEDED_CHOICES = [
  "C3 three choices have their own index, finish and tokens, at once and streamed",
  "C8 the same seed gives the same text, another seed another",
];
const PROMPT_CHOICES = ["P1 each prompt has n choices, at prompt × n + choice"];
const PROMPTS = [
  "P1 prompts stream side by side, each under its index",
  "takes token ids, one prompt or several",
];
const CONTEXT = ["C11 a prompt beyond the context is refused with both numbers, never cut"];
const MAX_TOKENS = ["C11 a max_tokens beyond the context is refused with both numbers"];
const SCORES = [
  "C7 tokens that are parts of characters have bytes that add up",
  "C7 a token's value is the model's own, whatever the temperature, the filters and the bias",
];
const STREAMED_SCORES = [
  "C7 streamed, the scores keep step with the text, and are those of the answer at once",
];
const CALL_SCORES = ["C7 the tokens of a call are no content"];
const SAMPLED_SCORES = [0, 1, 5, 20].map(
  (top) => `C7 with top_logprobs ${top} at temperature 1 so many stand beside each, best first`,
);
const PROMPT_SCORES = ["P2 echo with logprobs and no new tokens scores the prompt itself"];
const ECHOES = [
  "P2 echo goes on into the completion, whose scores are the same as without",
  "P2 what was generated has the same scores when it is read back as a prompt",
  "P2 a likely continuation beats unlikely ones",
  "P2 echo without logprobs gives the prompt and the completion, at once and streamed",
  "P2 streamed scores are those of the answer at once, their offsets counted through",
  "P2 every prompt of several has its own scores",
];
const OBFUSCATION = [
  "S7 asked for, every delta carries some, and the sizes of events tell nothing of their text",
];
const SCHEMAS = [
  "F2 json_schema is held to at a high temperature, for every choice",
  "F2 a schema that is none is refused",
  "F2 a keyword that no grammar can hold is named with its path",
  "F2 a type that nobody knows is refused",
  "F3 parse() gives what zod declares",
];
const BEST_OF = [
  "P3 best_of above n answers the likeliest, and counts all that was made",
  "P3 best_of below n is refused",
  "P3 best_of with stream is refused",
];
const BEST_OF_ONE = ["P3 best_of 2 with n 1 is one choice, without scores when none were asked for"];
const FORCED_CALLS = [
  "T1 a tool forced by its name is called once, with arguments that fit its schema",
  "T1 a tool forced by required is called once, with arguments that fit its schema",
  "T1 a tool forced by allowed_tools is called once, with arguments that fit its schema",
  "T1 forced calls stay legal at a high temperature, for every seed",
  "T1 a forced tool whose schema no grammar can hold is refused by keyword",
  "T2 a forced call cut by max_tokens finishes with length, whole or in part but never empty",
];
const CALL_PIECES = [
  "T3 parallel calls stream in order: id, type and name once, then pieces of the arguments",
  "stream() tells of a call's arguments as they come, and once when they are whole",
];
const STREAMED_CALLS = ["T3 streamed calls are those of the answer at once, and so is their usage"];
const PARALLEL_CALLS = [
  "T4 without parallel_tool_calls there is one call at most",
  "bindTools: tool_choice and parallel_tool_calls reach the model",
];
const FUNCTIONS = [
  "T6 functions chosen by the model answer with function_call, at once and streamed",
  "T6 functions chosen by name answer with function_call, at once and streamed",
  "T6 function_call none gives text, and a function's result is read",
];
const EMBEDDINGS = [
  "gives a vector of length 1 a value, and the usage",
  "embeds documents in their order, each as it is embedded alone",
  "decodes what it asks for by default, base64, to the vectors sent as floats",
  "shortens to the dimensions asked for and keeps the length at 1",
];

/**
 * What a real engine can't do: reason -> tests. Each is skipped, with the reason printed. The adapter refuses most of it
 * with a 400 that names the parameter; what a test asks for may change with the engine's version.
 */
const UNABLE: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  mlx: {
    "MLX makes one choice a request": [...CHOICES, ...SEEDED_CHOICES],
    "MLX knows no limit of its context": CONTEXT,
    "MLX takes one prompt a request": [...PROMPT_CHOICES, ...PROMPTS],
    "MLX has scores at temperature 0 alone, and none of prompts": [
      ...SCORES,
      ...STREAMED_SCORES,
      ...SAMPLED_SCORES,
      ...PROMPT_SCORES,
      ...ECHOES,
    ],
    "MLX does not obfuscate its events": OBFUSCATION,
    "MLX has no response_format": [
      ...SCHEMAS,
      "F2 json_object gives an object, at once and streamed",
      "F3 stream() parses as the text comes, and gives the same in the end",
      "F3 an answer cut by its limit is LengthFinishReasonError",
      "generateObject gives what zod declares",
      "generateObject gives a value of an enum",
      "streamObject grows to the object that zod declares",
      "generateText and streamText with Output.object give it too",
      "withStructuredOutput gives what zod declares by jsonSchema",
      "withStructuredOutput gives what zod declares by jsonMode",
      "withStructuredOutput streams objects that grow",
    ],
    "MLX has no best_of": [...BEST_OF, ...BEST_OF_ONE],
    "MLX forces no tool": [
      ...FORCED_CALLS,
      "toolChoice forces a call, by name or any, or none",
      "withStructuredOutput gives what zod declares by functionCalling",
    ],
    "MLX writes a call in one piece": [...CALL_PIECES, ...STREAMED_CALLS],
    "MLX has no parallel_tool_calls": PARALLEL_CALLS,
    "MLX refuses the deprecated functions": FUNCTIONS,
    "MLX has no embeddings": EMBEDDINGS,
  },
  vllm: {
    "vLLM cuts the text before a stop string otherwise": [
      "C4 a stop string never leaks, wherever it lies over the tokens; the earliest one wins",
    ],
    "vLLM says otherwise that the context is too short": [...CONTEXT, ...MAX_TOKENS],
    "vLLM takes one prompt a request": PROMPT_CHOICES,
    "vLLM scores after sampling, other tokens than ours": [
      ...SCORES,
      ...STREAMED_SCORES,
      ...CALL_SCORES,
      ...PROMPT_SCORES,
      "C7 a stop string's tokens are not among them",
    ],
    "vLLM does not obfuscate its events": OBFUSCATION,
    "vLLM holds to schemas by its own grammar, and refuses other ones": SCHEMAS,
    "vLLM refuses `suffix` in words of its own": ["P3 suffix is refused by a model without infill tokens"],
    "vLLM passes over best_of": BEST_OF,
    "vLLM holds a forced call otherwise": FORCED_CALLS,
    "vLLM writes the pieces of a call otherwise": CALL_PIECES,
    "vLLM refuses an empty list of tools": ["T4 an empty list of tools is none"],
    "vLLM refuses the deprecated functions": FUNCTIONS,
    "vLLM has no embeddings": EMBEDDINGS,
    "vLLM makes one choice at temperature 0": CHOICES,
  },
  llama_server: {
    "llama-server makes one choice a request": [...CHOICES, ...SEEDED_CHOICES],
    "llama-server cuts the text before a stop string otherwise": [
      "C4 the head of a stop string that does not come is sent in the end",
    ],
    "llama-server cuts what is asked for to its context": [
      ...MAX_TOKENS,
      "knows a context overflow when it sees one",
      "have the code that agents look for when the context is too short",
    ],
    "llama-server takes one prompt a request": [...PROMPT_CHOICES, ...PROMPTS],
    "llama-server has scores at temperature 0 alone, and none of prompts": [
      ...SCORES,
      ...CALL_SCORES,
      ...SAMPLED_SCORES,
      ...PROMPT_SCORES,
      ...ECHOES,
    ],
    "llama-server does not obfuscate its events": OBFUSCATION,
    "llama-server holds to schemas by its own grammar, and refuses other ones": SCHEMAS,
    "llama-server has no best_of": [...BEST_OF, ...BEST_OF_ONE],
    "llama-server forces no tool": FORCED_CALLS,
    "llama-server writes the pieces of a call otherwise": [...CALL_PIECES, ...STREAMED_CALLS],
    "llama-server has no parallel_tool_calls": PARALLEL_CALLS,
    "llama-server refuses the deprecated functions": FUNCTIONS,
    "llama-server has no embeddings": EMBEDDINGS,
    "llama-server leaves out the role of a stream that begins with a call in pieces": [
      "streaming runTools does the same for a question in Chinese",
    ],
  },
};

const name = inject("realEngine")?.name ?? "";
const reasons = new Map(
  Object.entries(UNABLE[name] ?? {}).flatMap(([reason, tests]) =>
    tests.map((test) => [test, reason] as const),
  ),
);

beforeEach((context) => {
  const reason = reasons.get(context.task.name);
  if (reason !== undefined) context.skip(reason);
});
