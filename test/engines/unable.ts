import { beforeEach, inject } from "vitest";

/**
 * What a real engine can't do, test by test: each is skipped, with the reason printed. The adapter refuses most of it with
 * a 400 that names the parameter; what a test asks for may change with the engine's version.
 */
interface Inability {
  readonly reason: string;
  readonly tests: readonly string[];
}

const UNABLE: Readonly<Record<string, readonly Inability[]>> = {
  mlx: [
    {
      reason: "MLX makes one choice a request",
      tests: [
        "C3 three choices have their own index, finish and tokens, at once and streamed",
        "C8 the same seed gives the same text, another seed another",
        "answers n choices, each with its index, and counts all of them",
        "sends each of n choices whole",
        "gathers n choices",
        "answers every prompt n times, in order",
      ],
    },
    {
      reason: "MLX knows no limit of its context",
      tests: ["C11 a prompt beyond the context is refused with both numbers, never cut"],
    },
    {
      reason: "MLX takes one prompt a request",
      tests: [
        "P1 each prompt has n choices, at prompt × n + choice",
        "P1 prompts stream side by side, each under its index",
        "takes token ids, one prompt or several",
      ],
    },
    {
      reason: "MLX has scores at temperature 0 alone, and none of prompts",
      tests: [
        "C7 with top_logprobs 0 at temperature 1 so many stand beside each, best first",
        "C7 with top_logprobs 1 at temperature 1 so many stand beside each, best first",
        "C7 with top_logprobs 5 at temperature 1 so many stand beside each, best first",
        "C7 with top_logprobs 20 at temperature 1 so many stand beside each, best first",
        "C7 tokens that are parts of characters have bytes that add up",
        "C7 a token's value is the model's own, whatever the temperature, the filters and the bias",
        "C7 streamed, the scores keep step with the text, and are those of the answer at once",
        "P2 echo with logprobs and no new tokens scores the prompt itself",
        "P2 echo goes on into the completion, whose scores are the same as without",
        "P2 what was generated has the same scores when it is read back as a prompt",
        "P2 a likely continuation beats unlikely ones",
        "P2 echo without logprobs gives the prompt and the completion, at once and streamed",
        "P2 streamed scores are those of the answer at once, their offsets counted through",
        "P2 every prompt of several has its own scores",
      ],
    },
    {
      reason: "MLX does not obfuscate its events",
      tests: ["S7 asked for, every delta carries some, and the sizes of events tell nothing of their text"],
    },
    {
      reason: "MLX has no response_format",
      tests: [
        "F2 json_object gives an object, at once and streamed",
        "F2 json_schema is held to at a high temperature, for every choice",
        "F2 a schema that is none is refused",
        "F2 a keyword that no grammar can hold is named with its path",
        "F2 a type that nobody knows is refused",
        "F3 parse() gives what zod declares",
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
    },
    {
      reason: "MLX has no best_of",
      tests: [
        "P3 best_of above n answers the likeliest, and counts all that was made",
        "P3 best_of 2 with n 1 is one choice, without scores when none were asked for",
        "P3 best_of below n is refused",
        "P3 best_of with stream is refused",
      ],
    },
    {
      reason: "MLX forces no tool",
      tests: [
        "T1 a tool forced by its name is called once, with arguments that fit its schema",
        "T1 a tool forced by required is called once, with arguments that fit its schema",
        "T1 a tool forced by allowed_tools is called once, with arguments that fit its schema",
        "T1 forced calls stay legal at a high temperature, for every seed",
        "T1 a forced tool whose schema no grammar can hold is refused by keyword",
        "T2 a forced call cut by max_tokens finishes with length, whole or in part but never empty",
        "toolChoice forces a call, by name or any, or none",
        "withStructuredOutput gives what zod declares by functionCalling",
      ],
    },
    {
      reason: "MLX writes a call in one piece",
      tests: [
        "T3 parallel calls stream in order: id, type and name once, then pieces of the arguments",
        "T3 streamed calls are those of the answer at once, and so is their usage",
        "stream() tells of a call's arguments as they come, and once when they are whole",
      ],
    },
    {
      reason: "MLX has no parallel_tool_calls",
      tests: [
        "T4 without parallel_tool_calls there is one call at most",
        "bindTools: tool_choice and parallel_tool_calls reach the model",
      ],
    },
    {
      reason: "MLX refuses the deprecated functions",
      tests: [
        "T6 functions chosen by the model answer with function_call, at once and streamed",
        "T6 functions chosen by name answer with function_call, at once and streamed",
        "T6 function_call none gives text, and a function's result is read",
      ],
    },
    {
      reason: "MLX has no embeddings",
      tests: [
        "gives a vector of length 1 a value, and the usage",
        "embeds documents in their order, each as it is embedded alone",
        "decodes what it asks for by default, base64, to the vectors sent as floats",
        "shortens to the dimensions asked for and keeps the length at 1",
      ],
    },
  ],
  vllm: [
    {
      reason: "vLLM cuts the text before a stop string otherwise",
      tests: ["C4 a stop string never leaks, wherever it lies over the tokens; the earliest one wins"],
    },
    {
      reason: "vLLM says otherwise that the context is too short",
      tests: [
        "C11 a prompt beyond the context is refused with both numbers, never cut",
        "C11 a max_tokens beyond the context is refused with both numbers",
      ],
    },
    {
      reason: "vLLM takes one prompt a request",
      tests: ["P1 each prompt has n choices, at prompt × n + choice"],
    },
    {
      reason: "vLLM scores after sampling, other tokens than ours",
      tests: [
        "C7 tokens that are parts of characters have bytes that add up",
        "C7 a token's value is the model's own, whatever the temperature, the filters and the bias",
        "C7 streamed, the scores keep step with the text, and are those of the answer at once",
        "C7 the tokens of a call are no content",
        "C7 a stop string's tokens are not among them",
        "P2 echo with logprobs and no new tokens scores the prompt itself",
      ],
    },
    {
      reason: "vLLM does not obfuscate its events",
      tests: ["S7 asked for, every delta carries some, and the sizes of events tell nothing of their text"],
    },
    {
      reason: "vLLM holds to schemas by its own grammar, and refuses other ones",
      tests: [
        "F2 json_schema is held to at a high temperature, for every choice",
        "F2 a schema that is none is refused",
        "F2 a keyword that no grammar can hold is named with its path",
        "F2 a type that nobody knows is refused",
        "F3 parse() gives what zod declares",
      ],
    },
    {
      reason: "vLLM refuses `suffix` in words of its own",
      tests: ["P3 suffix is refused by a model without infill tokens"],
    },
    {
      reason: "vLLM passes over best_of",
      tests: [
        "P3 best_of above n answers the likeliest, and counts all that was made",
        "P3 best_of below n is refused",
        "P3 best_of with stream is refused",
      ],
    },
    {
      reason: "vLLM holds a forced call otherwise",
      tests: [
        "T1 a tool forced by its name is called once, with arguments that fit its schema",
        "T1 a tool forced by required is called once, with arguments that fit its schema",
        "T1 a tool forced by allowed_tools is called once, with arguments that fit its schema",
        "T1 forced calls stay legal at a high temperature, for every seed",
        "T1 a forced tool whose schema no grammar can hold is refused by keyword",
        "T2 a forced call cut by max_tokens finishes with length, whole or in part but never empty",
      ],
    },
    {
      reason: "vLLM writes the pieces of a call otherwise",
      tests: [
        "T3 parallel calls stream in order: id, type and name once, then pieces of the arguments",
        "stream() tells of a call's arguments as they come, and once when they are whole",
      ],
    },
    { reason: "vLLM refuses an empty list of tools", tests: ["T4 an empty list of tools is none"] },
    {
      reason: "vLLM refuses the deprecated functions",
      tests: [
        "T6 functions chosen by the model answer with function_call, at once and streamed",
        "T6 functions chosen by name answer with function_call, at once and streamed",
        "T6 function_call none gives text, and a function's result is read",
      ],
    },
    {
      reason: "vLLM has no embeddings",
      tests: [
        "gives a vector of length 1 a value, and the usage",
        "embeds documents in their order, each as it is embedded alone",
        "decodes what it asks for by default, base64, to the vectors sent as floats",
        "shortens to the dimensions asked for and keeps the length at 1",
      ],
    },
    {
      reason: "vLLM makes one choice at temperature 0",
      tests: [
        "answers n choices, each with its index, and counts all of them",
        "sends each of n choices whole",
        "gathers n choices",
        "answers every prompt n times, in order",
      ],
    },
  ],
  llama_server: [
    {
      reason: "llama-server makes one choice a request",
      tests: [
        "C3 three choices have their own index, finish and tokens, at once and streamed",
        "C8 the same seed gives the same text, another seed another",
        "answers n choices, each with its index, and counts all of them",
        "sends each of n choices whole",
        "gathers n choices",
        "answers every prompt n times, in order",
      ],
    },
    {
      reason: "llama-server cuts the text before a stop string otherwise",
      tests: ["C4 the head of a stop string that does not come is sent in the end"],
    },
    {
      reason: "llama-server cuts what is asked for to its context",
      tests: [
        "C11 a max_tokens beyond the context is refused with both numbers",
        "knows a context overflow when it sees one",
        "have the code that agents look for when the context is too short",
      ],
    },
    {
      reason: "llama-server takes one prompt a request",
      tests: [
        "P1 each prompt has n choices, at prompt × n + choice",
        "P1 prompts stream side by side, each under its index",
        "takes token ids, one prompt or several",
      ],
    },
    {
      reason: "llama-server has scores at temperature 0 alone, and none of prompts",
      tests: [
        "C7 with top_logprobs 0 at temperature 1 so many stand beside each, best first",
        "C7 with top_logprobs 1 at temperature 1 so many stand beside each, best first",
        "C7 with top_logprobs 5 at temperature 1 so many stand beside each, best first",
        "C7 with top_logprobs 20 at temperature 1 so many stand beside each, best first",
        "C7 tokens that are parts of characters have bytes that add up",
        "C7 a token's value is the model's own, whatever the temperature, the filters and the bias",
        "C7 the tokens of a call are no content",
        "P2 echo with logprobs and no new tokens scores the prompt itself",
        "P2 echo goes on into the completion, whose scores are the same as without",
        "P2 what was generated has the same scores when it is read back as a prompt",
        "P2 a likely continuation beats unlikely ones",
        "P2 echo without logprobs gives the prompt and the completion, at once and streamed",
        "P2 streamed scores are those of the answer at once, their offsets counted through",
        "P2 every prompt of several has its own scores",
      ],
    },
    {
      reason: "llama-server does not obfuscate its events",
      tests: ["S7 asked for, every delta carries some, and the sizes of events tell nothing of their text"],
    },
    {
      reason: "llama-server holds to schemas by its own grammar, and refuses other ones",
      tests: [
        "F2 json_schema is held to at a high temperature, for every choice",
        "F2 a schema that is none is refused",
        "F2 a keyword that no grammar can hold is named with its path",
        "F2 a type that nobody knows is refused",
        "F3 parse() gives what zod declares",
      ],
    },
    {
      reason: "llama-server has no best_of",
      tests: [
        "P3 best_of above n answers the likeliest, and counts all that was made",
        "P3 best_of 2 with n 1 is one choice, without scores when none were asked for",
        "P3 best_of below n is refused",
        "P3 best_of with stream is refused",
      ],
    },
    {
      reason: "llama-server forces no tool",
      tests: [
        "T1 a tool forced by its name is called once, with arguments that fit its schema",
        "T1 a tool forced by required is called once, with arguments that fit its schema",
        "T1 a tool forced by allowed_tools is called once, with arguments that fit its schema",
        "T1 forced calls stay legal at a high temperature, for every seed",
        "T1 a forced tool whose schema no grammar can hold is refused by keyword",
        "T2 a forced call cut by max_tokens finishes with length, whole or in part but never empty",
      ],
    },
    {
      reason: "llama-server writes the pieces of a call otherwise",
      tests: [
        "T3 parallel calls stream in order: id, type and name once, then pieces of the arguments",
        "T3 streamed calls are those of the answer at once, and so is their usage",
        "stream() tells of a call's arguments as they come, and once when they are whole",
      ],
    },
    {
      reason: "llama-server has no parallel_tool_calls",
      tests: [
        "T4 without parallel_tool_calls there is one call at most",
        "bindTools: tool_choice and parallel_tool_calls reach the model",
      ],
    },
    {
      reason: "llama-server refuses the deprecated functions",
      tests: [
        "T6 functions chosen by the model answer with function_call, at once and streamed",
        "T6 functions chosen by name answer with function_call, at once and streamed",
        "T6 function_call none gives text, and a function's result is read",
      ],
    },
    {
      reason: "llama-server has no embeddings",
      tests: [
        "gives a vector of length 1 a value, and the usage",
        "embeds documents in their order, each as it is embedded alone",
        "decodes what it asks for by default, base64, to the vectors sent as floats",
        "shortens to the dimensions asked for and keeps the length at 1",
      ],
    },
    {
      reason: "llama-server leaves out the role of a stream that begins with a call in pieces",
      tests: ["streaming runTools does the same for a question in Chinese"],
    },
  ],
};

const name = inject("realEngine")?.name ?? "";
const reasons = new Map(
  (UNABLE[name] ?? []).flatMap(({ reason, tests }) => tests.map((test) => [test, reason] as const)),
);

beforeEach((context) => {
  const reason = reasons.get(context.task.name);
  if (reason !== undefined) context.skip(reason);
});
