/** What the cgroups around this process leave it. Version 1, version 2, both at once, inside a container or not. */
export interface Cgroup {
  /** CPUs by the tightest quota on the way to the root; undefined without one. */
  cpus(): number | undefined;
  memory(): CgroupMemory;
}

export interface CgroupMemory {
  /** The tightest limit; undefined without one. */
  readonly limitBytes: number | undefined;
  /** What is left below the tightest limit, when the page cache is given back. */
  readonly availableBytes: number | undefined;
}

type ReadText = (path: string) => string | undefined;

interface Hierarchy {
  readonly version: 1 | 2;
  /** From this process's own group up to the root that can be seen. */
  readonly directories: readonly string[];
}

/** Version 1 writes "no limit" as the largest page-aligned number. */
const NO_LIMIT_V1 = 2 ** 62;

export function findCgroup(readText: ReadText): Cgroup {
  const hierarchies = {
    cpu: hierarchiesOf("cpu", readText),
    memory: hierarchiesOf("memory", readText),
  };
  return {
    cpus: () => lowest(each(hierarchies.cpu, (version, directory) => quota(version, directory, readText))),
    memory: () => {
      const limits = each(hierarchies.memory, (version, directory) => memoryOf(version, directory, readText));
      return {
        limitBytes: lowest(limits.map((limit) => limit?.limitBytes)),
        availableBytes: lowest(limits.map((limit) => limit?.availableBytes)),
      };
    },
  };
}

function hierarchiesOf(controller: string, readText: ReadText): readonly Hierarchy[] {
  const groups = (readText("/proc/self/cgroup") ?? "")
    .split("\n")
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  const own = (names: (list: string[]) => boolean) =>
    groups.find((group) => group !== null && names((group[1] ?? "").split(",")))?.[2];
  return (readText("/proc/self/mountinfo") ?? "").split("\n").flatMap((line): Hierarchy[] => {
    const [mount = "", type = ""] = line.split(" - ");
    const [, , , root = "/", mountPoint = ""] = mount.split(" ");
    const [kind, , options = ""] = type.split(" ");
    if (kind === "cgroup2") {
      const path = own((names) => names[0] === "") ?? "/";
      return [{ version: 2, directories: upwards(mountPoint, root, path) }];
    }
    if (kind === "cgroup" && options.split(",").includes(controller)) {
      const path = own((names) => names.includes(controller)) ?? "/";
      return [{ version: 1, directories: upwards(mountPoint, root, path) }];
    }
    return [];
  });
}

/** A container may see its own group as the mount's root, or a path of the host that isn't mounted: then the mount point is all. */
function upwards(mountPoint: string, root: string, path: string): readonly string[] {
  const isBelow = root === "/" || path === root || path.startsWith(`${root}/`);
  const relative = isBelow ? path.slice(root === "/" ? 0 : root.length) : "";
  const parts = relative.split("/").filter((part) => part !== "");
  if (parts.includes("..")) return [mountPoint];
  return parts
    .map((_, index) => [mountPoint, ...parts.slice(0, parts.length - index)].join("/"))
    .concat(mountPoint);
}

function quota(version: 1 | 2, directory: string, readText: ReadText): number | undefined {
  const [quotaUs, periodUs] =
    version === 2
      ? (readText(`${directory}/cpu.max`) ?? "max").trim().split(" ").map(Number)
      : [readText(`${directory}/cpu.cfs_quota_us`), readText(`${directory}/cpu.cfs_period_us`)].map(Number);
  if (quotaUs === undefined || periodUs === undefined) return undefined;
  return quotaUs > 0 && periodUs > 0 ? quotaUs / periodUs : undefined;
}

function memoryOf(version: 1 | 2, directory: string, readText: ReadText): CgroupMemory | undefined {
  const [limitFile, usageFile, cacheKey] =
    version === 2
      ? ["memory.max", "memory.current", "inactive_file"]
      : ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
  const limitBytes = Number(readText(`${directory}/${limitFile}`) ?? "max");
  if (!(limitBytes < NO_LIMIT_V1)) return undefined;
  const usedBytes = Number(readText(`${directory}/${usageFile}`) ?? 0);
  const statistics = readText(`${directory}/memory.stat`) ?? "";
  const cacheBytes = Number(new RegExp(`^${cacheKey} (\\d+)$`, "m").exec(statistics)?.[1] ?? 0);
  return { limitBytes, availableBytes: Math.max(0, limitBytes - Math.max(0, usedBytes - cacheBytes)) };
}

function each<T>(
  hierarchies: readonly Hierarchy[],
  read: (version: 1 | 2, directory: string) => T,
): readonly T[] {
  return hierarchies.flatMap(({ version, directories }) =>
    directories.map((directory) => read(version, directory)),
  );
}

function lowest(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
