import { z } from "zod";
import { type MachineEffects, parseJson } from "./probe-effects.ts";

const ASK = `
import importlib.metadata, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except Exception:
        return None
print(json.dumps({"prefix": sys.prefix, "versions": {name: version(name) for name in sys.argv[1:]}}))
`;

const pythonAnswer = z.object({ prefix: z.string(), versions: z.record(z.string(), z.string().nullable()) });

/** Where an interpreter's environment is, and the versions of `packages` in it. Undefined where it doesn't answer. */
export async function askPython(
  effects: MachineEffects,
  python: string,
  packages: readonly string[],
  timeoutMs: number,
): Promise<z.output<typeof pythonAnswer> | undefined> {
  const result = await effects.run(python, ["-c", ASK, ...packages], timeoutMs);
  return result.ok ? pythonAnswer.safeParse(parseJson(result.stdout)).data : undefined;
}
