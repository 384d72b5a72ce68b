import { type Config, ConfigError } from "../shared/config.ts";
import type { EngineChoice, PlatformInfo } from "../shared/detector.ts";
import type { EngineStatus } from "../shared/engine.ts";
import { type Access, OPEN_TODO, OPEN_WARNING } from "./access.ts";
import { chooseEngine } from "./choose-engine.ts";
import { formatBytes } from "./engines/fit.ts";
import type { FoundPython } from "./engines/process-python.ts";

/** What `doctor` found, a row a check. */
export interface Report {
  readonly canServe: boolean;
  readonly rows: readonly Row[];
}

export interface Row {
  readonly check: string;
  /** `fail`: the server can't serve like this. */
  readonly state: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do about it; only where there is something to do. */
  readonly todo?: string;
}

/** How `doctor` looks at this machine; tests answer for others. */
export interface DoctorEffects {
  readonly info: PlatformInfo;
  /** Throws a `ConfigError` that names every problem. */
  readConfig(): Promise<{ readonly config: Config; readonly path?: string }>;
  /** Undefined where the address can be listened on, else Node's error code. */
  listen(host: string, port: number): Promise<string | undefined>;
  /** Where an engine is installed, or the command that installs it. */
  findPython(engine: "vllm" | "mlx", venv: string | undefined): Promise<FoundPython>;
  /** The path of a command, which is itself a path or a name on PATH. */
  findCommand(command: string): string | undefined;
  /** Loads a model that is on this machine, and lets it make a token. `remote`: it would have to be fetched first. */
  tryModel(
    choice: EngineChoice,
    model: Config["models"][number],
  ): Promise<EngineStatus | "remote" | "untried">;
  /** Where money and keys are kept, and who may use the server by them. */
  findAccess(config: Config): Promise<{ readonly ledger: string; readonly access: Access }>;
  /** How many models the backend lists. */
  countModels(backend: Config["backends"][number]): Promise<number>;
}

/** Looks at everything that a start needs. Never throws: what goes wrong is a row. */
export async function examine(effects: DoctorEffects): Promise<Report> {
  const { info } = effects;
  const { row, config } = await configRow(effects);
  const rows: Row[] = [...machineRows(info), ...(await engineRows(effects, config)), row];
  if (config !== undefined) {
    const choice = config.models.length === 0 ? undefined : chooseEngine(config, info);
    if (choice !== undefined) rows.push(choiceRow(choice));
    rows.push(await portRow(effects, config), ...(await accessRows(effects, config)));
    for (const model of config.models)
      if (choice !== undefined) rows.push(...(await modelRows(effects, choice, model)));
    rows.push(...(await backendRows(effects, config)));
  }
  return { canServe: rows.every(({ state }) => state !== "fail"), rows };
}

async function configRow(effects: DoctorEffects): Promise<{ readonly row: Row; readonly config?: Config }> {
  try {
    const { config, path } = await effects.readConfig();
    const found = path ?? "no file: the defaults, and the environment";
    return { row: { check: "config", state: "ok", found }, config };
  } catch (error) {
    const found = messageOf(error);
    const todo =
      error instanceof ConfigError
        ? "Correct what is named; sluice.example.yaml shows every key."
        : undefined;
    return { row: row("config", "fail", found, todo) };
  }
}

function machineRows(info: PlatformInfo): readonly Row[] {
  const { system, machine, wsl, cpuModel, cores, cpuBudget } = info;
  const isTight = info.memoryAvailableBytes < MIN_MEMORY_BYTES;
  const memory = `${formatBytes(info.memoryAvailableBytes)} free of ${formatBytes(info.memoryLimitBytes)}`;
  const limited =
    info.memoryLimitBytes < info.memoryBytes ? ` (this machine has ${formatBytes(info.memoryBytes)})` : "";
  const gpus = info.gpus.map(({ name, memoryBytes, driver }) =>
    [
      name,
      memoryBytes === undefined ? "" : formatBytes(memoryBytes),
      driver === undefined ? "" : `driver ${driver}`,
    ]
      .filter((part) => part !== "")
      .join(", "),
  );
  return [
    row("platform", "ok", `${system} ${machine}${wsl ? ", inside WSL" : ""}`),
    row("cpu", "ok", `${cpuModel}: ${cpuBudget} of ${cores} cores for this process`),
    row(
      "memory",
      isTight ? "warn" : "ok",
      memory + limited,
      isTight ? "Free some memory: only the smallest models fit." : undefined,
    ),
    row("gpu", "ok", gpus.length === 0 ? "none" : gpus.join("; ")),
  ];
}

/** Below this little more than the demo model fits. */
const MIN_MEMORY_BYTES = 512 * 2 ** 20;

async function engineRows(
  { info, findPython, findCommand }: DoctorEffects,
  config: Config | undefined,
): Promise<readonly Row[]> {
  const own = info.engines.find(({ engine }) => engine === "llama_cpp");
  const inProcess =
    own === undefined
      ? row("llama_cpp", "warn", "not installed for this platform", "npm install node-llama-cpp")
      : row("llama_cpp", "ok", own.version);
  const others = (["vllm", "mlx"] as const).map(async (engine) => {
    const found = await findPython(engine, config?.[engine].venv);
    if (found.ok)
      return row(engine, "ok", `${found.install.version} (${found.install.command ?? found.install.python})`);
    const todo = `To use it: ${found.install}`;
    return config?.engine === engine
      ? row(engine, "fail", found.missing, todo)
      : row(engine, "ok", "not installed", todo);
  });
  return [inProcess, ...(await Promise.all(others)), llamaServerRow(findCommand, config)];
}

function llamaServerRow(findCommand: DoctorEffects["findCommand"], config: Config | undefined): Row {
  const command = config?.llamaServer.command ?? "llama-server";
  const path = findCommand(command);
  if (path !== undefined) return row("llama_server", "ok", path);
  const todo = "install llama.cpp, or set `llamaServer.command` to its llama-server";
  return config?.engine === "llama_server"
    ? row("llama_server", "fail", `${command} was not found`, `To use it: ${todo}.`)
    : row("llama_server", "ok", "not installed", `To use it: ${todo}.`);
}

function choiceRow({ engine, reason, warning }: EngineChoice): Row {
  return warning === undefined
    ? row("choice", "ok", `${engine}: ${reason}`)
    : row(
        "choice",
        "warn",
        `${engine}: ${reason} ${warning}`,
        "Install what is missing, or set `engine` to another.",
      );
}

async function portRow({ listen }: DoctorEffects, { host, port }: Config): Promise<Row> {
  const code = await listen(host, port);
  const place = `${host}:${port}`;
  switch (code) {
    case undefined:
      return row("port", "ok", port === 0 ? "any free one" : `${place} is free`);
    case "EADDRINUSE":
      return row(
        "port",
        "fail",
        `${place} is taken by another program`,
        "Choose another with --port or PORT, or end that program.",
      );
    case "EACCES":
      return row("port", "fail", `no permission to listen on ${place}`, "Choose a port above 1023.");
    default:
      return row(
        "port",
        "fail",
        `${place} can't be listened on (${code})`,
        "Choose another address with --host or HOST.",
      );
  }
}

async function accessRows(effects: DoctorEffects, config: Config): Promise<readonly Row[]> {
  try {
    const { ledger, access } = await effects.findAccess(config);
    const found = row("ledger", "ok", ledger);
    switch (access.kind) {
      case "open":
        return [found, row("keys", "warn", OPEN_WARNING, OPEN_TODO)];
      case "keys":
        return [found, row("keys", "ok", String(access.keys))];
      case "admin":
        return [
          found,
          row("keys", "warn", "none: nobody is served yet", "Make one with `sluice keys create`."),
        ];
      default:
        return access satisfies never;
    }
  } catch (error) {
    return [row("keys", "fail", messageOf(error))];
  }
}

async function modelRows(
  { tryModel }: DoctorEffects,
  choice: EngineChoice,
  model: Config["models"][number],
): Promise<readonly Row[]> {
  const check = `model ${model.id}`;
  try {
    const status = await tryModel(choice, model);
    if (status === "remote" && (choice.engine === "vllm" || choice.engine === "mlx"))
      return [
        row(check, "ok", `${model.source}, not looked at: ${choice.engine} fetches it where it isn't here`),
      ];
    if (status === "remote")
      return [
        row(
          check,
          "warn",
          `${model.source} is not looked at: it may have to be fetched`,
          `sluice pull ${model.source}`,
        ),
      ];
    if (status === "untried") return [row(check, "ok", `${model.source}, not loaded now`)];
    const { threads, prefillThreads, decodeTokensPerSecond, contextSize, sequences } = status.details;
    const measured =
      typeof decodeTokensPerSecond === "number"
        ? `, ${Math.round(decodeTokensPerSecond)} tokens/s a stream`
        : "";
    return [
      row(check, "ok", `fits, and answers: ${sequences ?? "?"} sequences of ${contextSize ?? "?"} tokens`),
      ...(threads === undefined
        ? []
        : [row("threads", "ok", `${threads} to decode, ${prefillThreads} for prompts${measured}`)]),
    ];
  } catch (error) {
    return [
      row(
        check,
        "fail",
        messageOf(error),
        "Choose another model, or a smaller one, with --model or `models`.",
      ),
    ];
  }
}

async function backendRows(
  { countModels }: DoctorEffects,
  { backends, models }: Config,
): Promise<readonly Row[]> {
  const rows = await Promise.all(
    backends.map(async (backend) => {
      const check = `backend ${backend.id}`;
      try {
        return row(check, "ok", `${backend.url} lists ${await countModels(backend)} models`);
      } catch (error) {
        return row(
          check,
          "warn",
          `${backend.url}: ${messageOf(error)}`,
          "Start it, or correct its `url` and `apiKey`.",
        );
      }
    }),
  );
  const isNobodyThere = models.length === 0 && rows.length > 0 && rows.every(({ state }) => state === "warn");
  return isNobodyThere ? rows.map((each) => ({ ...each, state: "fail" as const })) : rows;
}

function row(check: string, state: Row["state"], found: string, todo?: string): Row {
  return { check, state, found, ...(todo === undefined ? {} : { todo }) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
