/** Why an engine's process did not start, or ended: recognised, and said plainly. Pure. */

export type FailureKind =
  | "no_command"
  | "not_found"
  | "not_executable"
  | "wrong_machine"
  | "port_taken"
  | "model_not_found"
  | "bad_option"
  | "out_of_memory"
  | "no_gpu"
  | "context_too_large"
  | "disk_full"
  | "not_installed"
  | "late"
  | "hung"
  | "crashed";

export interface ProcessFailure {
  readonly kind: FailureKind;
  /** A sentence: what happened and what to do. */
  readonly message: string;
  /** The first line of its output that tells of an error. */
  readonly line?: string;
  readonly exitCode?: number;
  readonly signal?: string;
  /** Trying again changes nothing: the configuration or the machine must. */
  readonly isPermanent: boolean;
}

/** What is known of a process that is gone. */
export interface ProcessEnd {
  readonly command: string;
  /** Node's error code where it never ran: `ENOENT`. */
  readonly spawnError?: string | undefined;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  /** The last lines it printed. */
  readonly output: readonly string[];
}

interface Sign {
  readonly kind: FailureKind;
  readonly pattern: RegExp;
  readonly message: string;
  readonly isPermanent: boolean;
}

/**
 * In the order in which they are looked for: an engine that can't get memory also says that its core failed. The texts
 * are vLLM's, MLX's, llama.cpp's, Python's and the C library's (reference/engines.md 3.5, 4; vllm#12173, #47387).
 */
const SIGNS: readonly Sign[] = [
  {
    kind: "port_taken",
    pattern: /address already in use|EADDRINUSE|couldn't bind .*socket/i,
    message: "Its port was taken by another program in the meantime.",
    isPermanent: false,
  },
  {
    kind: "disk_full",
    pattern: /no space left on device|ENOSPC|disk quota exceeded/i,
    message: "The disk is full. Free some space where models and caches are kept.",
    isPermanent: true,
  },
  {
    kind: "context_too_large",
    pattern:
      /max(imum)? (seq|model) len(gth)?.*(larger|greater) than|max_model_len.*(larger|greater|exceeds)|No available memory for the cache blocks|estimated maximum model length/i,
    message: "The context does not fit into the memory. Set a smaller context size, or allow it more memory.",
    isPermanent: true,
  },
  {
    kind: "out_of_memory",
    pattern:
      /out of memory|OutOfMemoryError|Free memory on device|MemoryError|failed to allocate|unable to allocate|cannot allocate memory|bad_alloc|Insufficient Memory/i,
    message:
      "There is not enough memory. Use a smaller model, a smaller context or stronger quantization, or free memory held by other programs.",
    isPermanent: true,
  },
  {
    kind: "no_gpu",
    pattern:
      /no CUDA GPUs are available|CUDA driver version is insufficient|Found no NVIDIA driver|libcuda\.so|libcudart|Failed to infer device type|No HIP GPUs|UVA is not available|torch not compiled with CUDA/i,
    message: "It found no GPU that it can use. Check the driver, and that its build matches this machine.",
    isPermanent: true,
  },
  {
    kind: "not_installed",
    pattern: /ModuleNotFoundError|No module named|PackageNotFoundError|ImportError/,
    message: "Its Python environment is incomplete. Install the engine again.",
    isPermanent: true,
  },
  {
    kind: "model_not_found",
    pattern:
      /RepositoryNotFound|RepoNotFound|HFValidationError|LocalEntryNotFoundError|OfflineModeIsEnabled|is not a (local folder|valid model identifier)|not a valid (repo|model)|Can't load (the )?(config|tokenizer)|(failed to|error) load(ing)? model|does not appear to have a file named|model .*(not found|does not exist)|No safetensors found|FileNotFoundError|401 Client Error|GatedRepoError/i,
    message: "The model can't be loaded. Check its name or path, and that this machine may download it.",
    isPermanent: true,
  },
  {
    kind: "bad_option",
    pattern:
      /unrecognized arguments|does not support ray|unknown (argument|option)|invalid (argument|choice|value)|error: (argument|the following arguments|expected one argument)|expected (at least )?one argument|pydantic.*validation error|^usage: /i,
    message: "It does not know one of its options. Check `args` and the engine's version.",
    isPermanent: true,
  },
];

const ERROR_LINE =
  /\berror\b|Error[:(\s]|exception|traceback|fatal|failed|panic|abort|unrecognized|cannot|can't/i;
/** Lines that only point at another one. */
const POINTER_LINE = /see root cause above|Traceback \(most recent call last\)|stack trace|^\s*File "/i;

const SHELL_NOT_EXECUTABLE = 126;
const SHELL_NOT_FOUND = 127;
const MAX_LINE_CHARS = 300;

/** Why it did not run, or ended. `output` decides before the exit code: engines end with 1 whatever happened. */
export function explainEnd(end: ProcessEnd): ProcessFailure {
  const line = firstErrorLine(end.output);
  const facts = {
    ...(line === undefined ? {} : { line }),
    ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(end.signal === undefined ? {} : { signal: end.signal }),
  };
  const unstartable = explainUnstartable(end);
  if (unstartable !== undefined) return { ...unstartable, ...facts };
  // Whoever was killed printed nothing of it: what stands in its log is about something else.
  if (end.signal === "SIGKILL") return { ...explainSignal(end, line), ...facts };
  for (const { kind, pattern, message, isPermanent } of SIGNS) {
    const found = end.output.find((text) => pattern.test(text));
    if (found !== undefined) return { kind, message, isPermanent, ...facts, line: cut(found) };
  }
  return { ...explainSignal(end, line), ...facts };
}

function explainUnstartable({
  command,
  spawnError,
  exitCode,
  signal,
}: ProcessEnd): Pick<ProcessFailure, "kind" | "message" | "isPermanent"> | undefined {
  if (spawnError === "ENOENT" || exitCode === SHELL_NOT_FOUND) {
    const message = `\`${command}\` was not found. Install it, or set its path in the configuration.`;
    return { kind: "not_found", message, isPermanent: true };
  }
  if (spawnError === "EACCES" || exitCode === SHELL_NOT_EXECUTABLE) {
    const message = `\`${command}\` may not be executed. Check its permissions.`;
    return { kind: "not_executable", message, isPermanent: true };
  }
  if (spawnError === "ENOEXEC" || signal === "SIGILL") {
    const message = `\`${command}\` was built for another kind of processor. Install the build for this machine.`;
    return { kind: "wrong_machine", message, isPermanent: true };
  }
  if (spawnError === "EAGAIN" || spawnError === "ENOMEM") {
    const message = "This machine can't start another process now: out of memory or processes.";
    return { kind: "out_of_memory", message, isPermanent: false };
  }
  if (spawnError === undefined) return undefined;
  return {
    kind: "not_executable",
    message: `\`${command}\` could not be started (${spawnError}).`,
    isPermanent: true,
  };
}

function explainSignal(
  { exitCode, signal }: ProcessEnd,
  line: string | undefined,
): Pick<ProcessFailure, "kind" | "message" | "isPermanent"> {
  // 128 + 9: a shell or container runtime tells of the signal so.
  if (signal === "SIGKILL" || exitCode === 137) {
    const message =
      "It was killed (SIGKILL): by the system for lack of memory, or by hand. `dmesg` shows which.";
    return { kind: "crashed", message, isPermanent: false };
  }
  const how = signal === undefined ? `exit code ${exitCode ?? "unknown"}` : signal;
  const told = line === undefined ? "without saying why" : `after: ${line}`;
  return { kind: "crashed", message: `It ended with ${how}, ${told}.`, isPermanent: false };
}

/** The first line that tells of an error, not the last: the last ones only say that a child failed. */
export function firstErrorLine(output: readonly string[]): string | undefined {
  const found = output.find((text) => ERROR_LINE.test(text) && !POINTER_LINE.test(text));
  return found === undefined ? undefined : cut(found);
}

function cut(text: string): string {
  const line = text.trim();
  return line.length > MAX_LINE_CHARS ? `${line.slice(0, MAX_LINE_CHARS)} …` : line;
}
