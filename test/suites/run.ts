import { mkdir, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { Command, InvalidArgumentError } from "commander";
import { documentProblems } from "./documents.ts";
import { type Outcome, unable } from "./outcome.ts";
import { isPassed, type Summary, summaryHtml, summaryText } from "./page.ts";
import { type ReleaseLine, releaseLines } from "./release.ts";
import { type ServerFlags, withServer } from "./server.ts";
import { type Load, runStress, SHORT_LOAD, STAGES } from "./stress.ts";
import {
  LOCAL_NAMES,
  type RunningServer,
  runAllLocal,
  runCoverage,
  runLocal,
  runPerf,
  runRunning,
  TITLES,
} from "./suites.ts";
import { RESULTS, ROOT } from "./vitest-run.ts";

/**
 * The specification's test suite: `npm run test:unit` and the others, `test:all`, `release:check`. What the suites say
 * goes to stderr, the summary to stdout. Exits with 1 when anything fails, with 2 for a wrong flag.
 */
const program = new Command("suites").exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

for (const name of LOCAL_NAMES.filter((each) => each !== "compat")) {
  program
    .command(name)
    .description(TITLES[name])
    .action(async () => finish(name, { title: TITLES[name], outcomes: [await runLocal(name)] }));
}
program
  .command("coverage")
  .description("all of npm test, and which lines of the sources it runs; pages in test-results/coverage")
  .action(async () => finish("coverage", { title: TITLES.coverage, outcomes: await runCoverage() }));
program
  .command("compat")
  .description("OpenAI's own client against a running server, and without --url all client suites")
  .option("--url <url>", "the server; without it one is started")
  .action(async (flags: ServerFlags) => {
    const local = flags.url === undefined ? [await runLocal("compat")] : [];
    const outcomes = [...local, ...(await onServer(flags, [runRunning]))];
    await finish("compat", { title: TITLES.compat, outcomes });
  });
program
  .command("perf")
  .description("health, response time, tokens a second and memory of a running server")
  .option("--url <url>", "the server; without it one is started")
  .option("--pid <pid>", "its process, where it runs on this machine", readPid)
  .action(async (flags: ServerFlags) => {
    await finish("perf", { title: TITLES.perf, outcomes: await onServer(flags, [runPerf]) });
  });
program
  .command("stress")
  .description("virtual users: the stages basic, medium and high")
  .option("--url <url>", "the server; without it one is started")
  .option("--pid <pid>", "its process, where it runs on this machine", readPid)
  .option("--stage <name>", "one of them", readStage)
  .action(async ({ stage, ...flags }: ServerFlags & { readonly stage?: Load }) => {
    const loads = stage === undefined ? STAGES : [stage];
    const outcomes = await onServer(flags, loads.map(stressOf));
    await finish("stress", { title: TITLES.stress, outcomes });
  });
program
  .command("all")
  .description("every suite, the last ones against a server it starts and stops")
  .action(async () => {
    const local = await runCoverage();
    const served = await onServer({}, [runRunning, runPerf, stressOf(SHORT_LOAD)]);
    await finish("all", { title: "All suites", outcomes: [...local, ...served] });
  });
program
  .command("release")
  .description("the release checklist and the performance goals, each line measured or tested")
  .option("--json", "print the lines as JSON instead")
  .action(async ({ json = false }: { readonly json?: boolean }) => {
    const local = await runAllLocal();
    const high = STAGES.filter(({ name }) => name === "high");
    const served = await onServer({}, [runRunning, runPerf, ...high.map(stressOf)]);
    const outcomes = [...local, ...served];
    const lines = releaseLines({ outcomes, documentProblems: documentProblems(ROOT) });
    await finish("release", { title: "Release check", outcomes, lines }, json);
  });

await program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
});

type Suite = (server: RunningServer) => Promise<Outcome>;

function stressOf(load: Load): Suite {
  return (server) => runStress(load, server);
}

/** One suite after the other. What keeps them from running is the outcome of the one that it kept. */
async function onServer(flags: ServerFlags, suites: readonly Suite[]): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  try {
    await withServer(flags, async (server) => {
      for (const suite of suites) outcomes.push(await suite(server));
    });
  } catch (error) {
    outcomes.push(unable("running", "What needs a server", error));
  }
  return outcomes;
}

/** Prints the summary, and leaves it as text, page and JSON in the results' folder. */
async function finish(
  name: string,
  found: Pick<Summary, "title" | "outcomes"> & { readonly lines?: readonly ReleaseLine[] },
  isJson = false,
): Promise<void> {
  const { model = "unknown CPU" } = os.cpus()[0] ?? {};
  const machine = `${os.type()} ${os.machine()}, ${os.cpus().length} × ${model.trim()}, Node ${process.versions.node}`;
  const summary: Summary = { lines: [], ...found, at: new Date().toISOString(), machine };
  const json = `${JSON.stringify({ isPassed: isPassed(summary), ...summary }, null, 2)}\n`;
  await mkdir(RESULTS, { recursive: true });
  await writeFile(join(RESULTS, `${name}-summary.json`), json);
  await writeFile(join(RESULTS, `${name}-summary.txt`), stripVTControlCharacters(summaryText(summary)));
  await writeFile(join(RESULTS, `${name}-summary.html`), summaryHtml(summary));
  process.stdout.write(isJson ? json : `\n${summaryText(summary)}test-results/${name}-summary.html\n`);
  process.exitCode = isPassed(summary) ? 0 : 1;
}

function readPid(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new InvalidArgumentError(`${JSON.stringify(text)} is no process id.`);
}

function readStage(text: string): Load {
  const stage = STAGES.find(({ name }) => name === text);
  if (stage !== undefined) return stage;
  throw new InvalidArgumentError(`one of ${STAGES.map(({ name }) => name).join(", ")}.`);
}
