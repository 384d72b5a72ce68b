import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { parseSlo, type Slo } from "./analyze/slo.ts";
import { InputError } from "./exit.ts";

const durationSchema = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|min)$/, "a time such as 500ms, 2s or 1min")
  .transform((text) => {
    const [, digits, unit] = /^([\d.]+)(ms|s|min)$/.exec(text) ?? [];
    return Number(digits) * (unit === "ms" ? 1 : unit === "s" ? 1000 : 60_000);
  });

const pathSchema = z.string().startsWith("/");
const whole = z.number().int().positive();

const chatSchema = z.strictObject({
  /** A file beside the profile with one a line, or the prompts themselves. */
  prompts: z.union([z.string(), z.array(z.string()).min(1)]),
  stream: z.boolean().default(true),
  maxTokens: z.union([whole, z.strictObject({ int: z.tuple([whole, whole]) })]),
  temperature: z
    .union([z.number().min(0), z.strictObject({ uniform: z.tuple([z.number().min(0), z.number().min(0)]) })])
    .optional(),
});

const taskSchema = z.union([
  z.strictObject({ name: z.string(), weight: z.number().positive().default(1), get: pathSchema }),
  z.strictObject({ name: z.string(), weight: z.number().positive().default(1), chat: chatSchema }),
]);

const profileSchema = z.strictObject({
  name: z.string().min(1),
  /** Asked once before the first user starts: another status stops the run. */
  onStart: z.strictObject({ get: pathSchema, require: z.number().int() }).optional(),
  /** Between an answer and the same user's next request; none when left out. */
  think: z.strictObject({ uniform: z.tuple([durationSchema, durationSchema]) }).optional(),
  tasks: z.array(taskSchema).min(1),
  slo: z.record(z.string(), z.union([z.string(), z.number()])).default({}),
});

type ProfileFile = z.infer<typeof profileSchema>;
export type Task = ProfileFile["tasks"][number];

export interface Profile extends Omit<ProfileFile, "slo"> {
  readonly slos: readonly Slo[];
}

const stageSchema = z.strictObject({
  users: whole,
  /** Users a second. */
  spawn: z.number().positive(),
  time: durationSchema,
});

export interface Stage extends z.infer<typeof stageSchema> {
  readonly name: string;
}

const PROFILES = join(import.meta.dirname, "profiles");
const STAGES = join(import.meta.dirname, "stages.yaml");

/** A shipped profile by its name, or any file. Prompts come with it. Throws `InputError`. */
export async function readProfile(nameOrFile: string): Promise<Profile> {
  const shipped = join(PROFILES, `${nameOrFile}.yaml`);
  const file = existsSync(shipped) ? shipped : resolve(nameOrFile);
  const { slo, tasks, ...rest } = check(profileSchema, await readYaml(file, "profile"), file);
  const slos = Object.entries(slo).map(([name, value]) => {
    const parsed = parseSlo(`${name}=${value}`);
    if (parsed.ok) return parsed.slo;
    throw new InputError(`${file}: ${parsed.problem}`);
  });
  return { ...rest, slos, tasks: await Promise.all(tasks.map((task) => withPrompts(task, dirname(file)))) };
}

/** In the order of the file. */
export async function readStages(): Promise<readonly Stage[]> {
  const stages = check(z.record(z.string(), stageSchema), await readYaml(STAGES, "stages"), STAGES);
  return Object.entries(stages).map(([name, stage]) => ({ name, ...stage }));
}

async function withPrompts(task: Task, folder: string): Promise<Task> {
  if (!("chat" in task) || typeof task.chat.prompts !== "string") return task;
  const file = resolve(folder, task.chat.prompts);
  const prompts = (await readText(file, "prompts")).split("\n").filter((line) => line.trim() !== "");
  if (prompts.length === 0) throw new InputError(`${file} has no prompts; write one a line`);
  return { ...task, chat: { ...task.chat, prompts } };
}

async function readYaml(file: string, what: string): Promise<unknown> {
  const text = await readText(file, what);
  try {
    return parse(text);
  } catch (error) {
    throw new InputError(`${file} is no YAML: ${error instanceof Error ? error.message : error}`);
  }
}

async function readText(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new InputError(
      `can't read the ${what} ${file}: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    );
  }
}

/** One error that names every bad path. */
function check<T>(schema: z.ZodType<T>, value: unknown, file: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(
    ({ path, message }) => `  ${path.join(".") || "(top)"}: ${message}`,
  );
  throw new InputError(`${file}:\n${problems.join("\n")}`);
}
