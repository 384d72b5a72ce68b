import { z } from "zod";

/** How one suite went. */
export interface Outcome {
  readonly name: SuiteName;
  readonly title: string;
  readonly isPassed: boolean;
  readonly seconds: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Names of what failed, with the first line of why. */
  readonly failures: readonly string[];
  /** What didn't run here, and why. */
  readonly notes: readonly string[];
  /** What was measured; units in the names. */
  readonly figures: Readonly<Record<string, number | string>>;
  /** Relative to the results' folder: pages that show more. */
  readonly pages: readonly string[];
}

export const SUITE_NAMES = [
  "unit",
  "integration",
  "compat",
  "platform",
  "coverage",
  "running",
  "perf",
  "stress",
] as const;
export type SuiteName = (typeof SUITE_NAMES)[number];

/** What a test leaves for the summary: `context.task.meta.…`. */
declare module "vitest" {
  interface TaskMeta {
    figures?: Record<string, number | string>;
    /** Why it didn't run here. */
    note?: string;
  }
}

/** What vitest's JSON reporter writes, as far as it is read here. */
export const vitestReport = z.object({
  success: z.boolean(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().default(""),
      startTime: z.number(),
      endTime: z.number(),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          failureMessages: z.array(z.string()).nullish(),
          meta: z
            .looseObject({
              figures: z.record(z.string(), z.union([z.number(), z.string()])).optional(),
              note: z.string().optional(),
            })
            .default({}),
        }),
      ),
    }),
  ),
});
export type VitestReport = z.infer<typeof vitestReport>;

/** The outcome of the files that `isOurs` takes. A file that could not be loaded counts as one failed test. */
export function outcomeOf(
  { name, title }: Pick<Outcome, "name" | "title">,
  report: VitestReport,
  isOurs: (path: string) => boolean = () => true,
): Outcome {
  const files = report.testResults.filter((file) => isOurs(file.name.replaceAll("\\", "/")));
  const tests = files.flatMap((file) => file.assertionResults);
  const count = (...statuses: readonly string[]) =>
    tests.filter(({ status }) => statuses.includes(status)).length;
  const broken = files.filter(
    (file) => file.status === "failed" && !file.assertionResults.some(({ status }) => status === "failed"),
  );
  const failures = [
    ...broken.map((file) => `${file.name}: ${firstLine(file.message)}`),
    ...tests
      .filter(({ status }) => status === "failed")
      .map(({ fullName, failureMessages }) => `${fullName}: ${firstLine(failureMessages?.[0] ?? "")}`),
  ];
  return {
    name,
    title,
    isPassed: failures.length === 0 && count("passed") > 0,
    seconds: files.reduce((sum, { startTime, endTime }) => sum + Math.max(0, endTime - startTime), 0) / 1000,
    passed: count("passed"),
    failed: failures.length,
    skipped: count("pending", "skipped", "todo", "disabled"),
    failures,
    notes: tests.flatMap(({ fullName, meta }) =>
      meta.note === undefined ? [] : [`${fullName}: ${meta.note}`],
    ),
    figures: Object.assign({}, ...tests.map(({ meta }) => meta.figures ?? {})),
    pages: [],
  };
}

/** Of a suite that could not run to its end. */
export function unable(name: SuiteName, title: string, error: unknown): Outcome {
  const failures = [error instanceof Error ? error.message : String(error)];
  const none = { notes: [], figures: {}, pages: [] };
  return {
    name,
    title,
    isPassed: false,
    seconds: 0,
    passed: 0,
    failed: 1,
    skipped: 0,
    failures,
    ...none,
  };
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
