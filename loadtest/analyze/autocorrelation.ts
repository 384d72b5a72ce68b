/** Beyond it the estimate says only "much": no run is long enough to tell how much. */
const MOST = 0.9;

/** The correlation of each deviation with the next; 0 where nothing deviates. */
export function autocorrelation(deviations: readonly number[]): number {
  const squares = deviations.reduce((sum, value) => sum + value * value, 0);
  const products = deviations.slice(1).reduce((sum, value, at) => sum + value * (deviations[at] ?? 0), 0);
  return squares === 0 ? 0 : products / squares;
}

/**
 * The same of few values: their correlation comes out too low by about (1 + 4r) / n, since their own mean was taken
 * off (Marriott and Pope 1954, Kendall 1954).
 */
export function autocorrelationOfFew(deviations: readonly number[]): number {
  const count = deviations.length;
  return count <= 4 ? 0 : (count * autocorrelation(deviations) + 1) / (count - 4);
}

/**
 * What the variance of a mean or a slope grows by where neighbours are alike: there are fewer independent values than
 * it seems. Never below 1.
 */
export function varianceInflation(correlation: number): number {
  const r = Math.min(MOST, Math.max(0, correlation));
  return (1 + r) / (1 - r);
}
