/** `performance.now` counts from the start of the process, `hrtime` from a moment all processes of a machine share. */
const OFFSET_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** By the monotonic clock, which is one for all processes of this machine: what the mock's stamps are in, too. */
export function monotonicMs(): number {
  return performance.now() + OFFSET_MS;
}
