/** Where a model comes from, as the configuration writes it. */

export function parsedUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

/**
 * The id of a model that has none: `demo` -> `sluice-demo`, a file -> its name without `.gguf`,
 * `hf:user/repo[:quant]` -> `user/repo[:quant]`.
 */
export function modelIdFromSource(source: string): string {
  if (source === "demo") return "sluice-demo";
  const location = source.startsWith("hf:") ? source.slice(3).replace(/#.*$/, "") : parsedPath(source);
  if (source.startsWith("hf:") && location.split("/").length === 2) return location;
  const file = location.split(/[/\\]/).findLast((part) => part !== "") ?? source;
  return file.replace(/\.gguf$/i, "").replace(/-\d{5}-of-\d{5}$/, "");
}

function parsedPath(source: string): string {
  return /^https?:/.test(source) ? new URL(source).pathname : source;
}

export function isModelSource(source: string): boolean {
  if (source.startsWith("hf:"))
    return /^hf:[\w.-]+\/[\w.-]+(:[\w.-]+|(\/[\w.-]+)+\.gguf)?(#[\w./-]+)?$/.test(source);
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(source)) return /^https?:$/.test(parsedUrl(source)?.protocol ?? "");
  return source.trim() !== "";
}
