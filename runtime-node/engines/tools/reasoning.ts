/** Tags between which a model thinks before it answers, and whether the prompt has opened them already. */
export interface Reasoning {
  readonly open: string;
  readonly close: string;
  /** The rendered prompt ends inside the tags: the first text of the model is reasoning. */
  readonly startsOpen: boolean;
}

const TAGS = [
  { open: "<think>", close: "</think>" },
  { open: "[THINK]", close: "[/THINK]" },
];

/**
 * The tags a template knows, looked at with the prompt it rendered: DeepSeek R1 and Qwen3's thinking models open
 * `<think>` in it, Qwen3 with `enable_thinking: false` closes it at once. Undefined: the model doesn't think in tags.
 */
export function detectReasoning(template: string | undefined, prompt: string): Reasoning | undefined {
  const tags = TAGS.find(({ close }) => template?.includes(close));
  return tags && { ...tags, startsOpen: prompt.trimEnd().endsWith(tags.open) };
}
