export interface Calibration {
  readonly threads: number;
  readonly prefillThreads: number;
  /** One stream alone. */
  readonly decodeTokensPerSecond: number;
  readonly prefillTokensPerSecond: number;
}

/** What is measured, at a number of threads: milliseconds. */
export interface Probe {
  /** One decode step of one stream. */
  decode(threads: number): Promise<number>;
  /** A prefill of `tokens`. */
  prefill(threads: number, tokens: number): Promise<number>;
}

export interface CalibrateOptions {
  /** Cores that this process may use. */
  readonly cpuBudget: number;
  /** From the config: not measured against others, only how fast it is. */
  readonly threads?: number | undefined;
  readonly prefillThreads?: number | undefined;
  /** Begin with the most threads: for models that one thread is much too slow for. */
  readonly isLarge: boolean;
  /** No new measurement is begun after so long; each kind has one in any case. */
  readonly budgetMs: number;
  /** Ms that never run backwards. */
  readonly now: () => number;
}

const RUNS = 3;
/** A run that takes longer is measured once: what disturbs it is small beside it. */
const LONG_RUN_MS = 100;
const PREFILL_TOKENS = 64;
/** A prefill is measured with fewer tokens where it would take longer than this. */
const PREFILL_MS = 250;
const MIN_PREFILL_TOKENS = 8;
/** Fewer threads are taken when they are nearly as fast: the others are somebody else's. */
const NEARLY = 1.05;
/** So much slower than the best, and the rest of the counts, further away still, isn't tried. */
const HOPELESS = 1.5;

/**
 * The fastest number of threads for decode and for prefill, measured: llama.cpp's own guess was 170 times slower than
 * the best on a 2-core box, because threads spin at barriers. Counts double from 1 to the CPU budget.
 */
export async function calibrate(probe: Probe, options: CalibrateOptions): Promise<Calibration> {
  const { cpuBudget, isLarge, budgetMs, now } = options;
  const counts = candidateThreads(cpuBudget);
  const candidates = isLarge ? counts.toReversed() : counts;
  await probe.decode(options.threads ?? candidates[0] ?? 1); // Weights come from disk the first time.
  const from = now();
  const decode = await fastest(
    options.threads === undefined ? candidates : [options.threads],
    (threads) => best(() => probe.decode(threads)),
    from + budgetMs / 2,
    now,
  );
  const tokens = Math.max(MIN_PREFILL_TOKENS, Math.min(PREFILL_TOKENS, Math.floor(PREFILL_MS / decode.ms)));
  const prefill = await fastest(
    options.prefillThreads === undefined ? candidates : [options.prefillThreads],
    (threads) => best(() => probe.prefill(threads, tokens)),
    from + budgetMs,
    now,
  );
  return {
    threads: decode.threads,
    prefillThreads: prefill.threads,
    decodeTokensPerSecond: 1000 / decode.ms,
    prefillTokensPerSecond: (1000 * tokens) / prefill.ms,
  };
}

/** 1, 2, 4 ... and the budget itself. */
export function candidateThreads(cpuBudget: number): readonly number[] {
  const most = Math.max(1, Math.floor(cpuBudget));
  const counts: number[] = [];
  for (let threads = 1; threads < most; threads *= 2) counts.push(threads);
  return [...counts, most];
}

interface Measured {
  readonly threads: number;
  readonly ms: number;
}

async function fastest(
  candidates: readonly number[],
  measure: (threads: number) => Promise<number>,
  until: number,
  now: () => number,
): Promise<Measured> {
  const measured: Measured[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (const threads of candidates) {
    if (measured.length > 0 && now() >= until) break;
    const ms = Math.max(await measure(threads), 0.001);
    measured.push({ threads, ms });
    if (ms > least * HOPELESS) break;
    least = Math.min(least, ms);
  }
  const [found] = measured.filter(({ ms }) => ms <= least * NEARLY).sort((a, b) => a.threads - b.threads);
  if (found === undefined) throw new Error("There is no number of threads to measure.");
  return found;
}

/** The least of a few runs: what others do on the machine only adds to it. */
async function best(run: () => Promise<number>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; i++) {
    const ms = await run();
    least = Math.min(least, ms);
    if (ms > LONG_RUN_MS) break;
  }
  return least;
}
