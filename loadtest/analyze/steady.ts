import { autocorrelation, varianceInflation } from "./autocorrelation.ts";

/** A second of an open-loop run. */
export interface Load {
  readonly inFlight: number;
  /** Mean of the requests due in this second; undefined when none was. */
  readonly ttftMs: number | undefined;
}

/** One-sided, 95 %. */
const NORMAL_95 = 1.645;
/** A slope that adds less than this share of the mean over the whole window is no queue building up. */
const RISE = 0.25;
const LEAST_SECONDS = 8;

/**
 * Whether an open loop asked for more than the server can do: requests in flight and TTFT both rise over the
 * window, beyond what chance makes of a steady queue. Such a rate did not hold, whatever its percentiles were:
 * they depend on when the run was stopped. Fewer than 8 seconds say nothing.
 */
export function isOverSaturated(seconds: readonly Load[]): boolean {
  if (seconds.length < LEAST_SECONDS) return false;
  const ttft = seconds.flatMap(({ ttftMs }) => (ttftMs === undefined ? [] : [ttftMs]));
  return rises(seconds.map(({ inFlight }) => inFlight)) && rises(ttft);
}

/** Whether the line through the points rises: significantly, and by enough to matter. */
function rises(values: readonly number[]): boolean {
  const count = values.length;
  if (count < LEAST_SECONDS) return false;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const middle = (count - 1) / 2;
  const spread = (count * (count * count - 1)) / 12;
  const slope = values.reduce((sum, value, at) => sum + (at - middle) * (value - mean), 0) / spread;
  const residuals = values.map((value, at) => value - mean - slope * (at - middle));
  const squares = residuals.reduce((sum, residual) => sum + residual * residual, 0);
  // A queue's neighbouring seconds are alike.
  const error = Math.sqrt((squares / (count - 2) / spread) * varianceInflation(autocorrelation(residuals)));
  return slope > NORMAL_95 * error && slope * count > RISE * mean;
}
