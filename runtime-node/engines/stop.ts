export interface StopScanner {
  /** Takes the next text; returns what may be sent now, and the stop string that ended it, if one did. */
  push(text: string): StopScan;
  /** What was held back and turned out to be no stop string. Called once, when the text ends without one. */
  flush(): string;
}

export interface StopScan {
  readonly text: string;
  readonly stop?: string;
}

/**
 * Finds stop strings in text that comes in pieces. Of those found, the one that starts first wins; neither it nor
 * anything after it is returned. The longest end of the text that may be the head of a stop string is held back.
 */
export function createStopScanner(stops: readonly string[]): StopScanner {
  const wanted = stops.filter((stop) => stop !== "");
  let held = "";

  function push(text: string): StopScan {
    if (wanted.length === 0) return { text };
    held += text;
    const hit = firstStop(held, wanted);
    const end = hit?.at ?? held.length - headLength(held, wanted);
    const ready = held.slice(0, end);
    held = hit === undefined ? held.slice(end) : "";
    return hit === undefined ? { text: ready } : { text: ready, stop: hit.stop };
  }

  function flush(): string {
    const rest = held;
    held = "";
    return rest;
  }

  return { push, flush };
}

function firstStop(text: string, stops: readonly string[]): { at: number; stop: string } | undefined {
  let first: { at: number; stop: string } | undefined;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (first === undefined || at < first.at)) first = { at, stop };
  }
  return first;
}

/** Length of the longest end of `text` that a stop string begins with. */
function headLength(text: string, stops: readonly string[]): number {
  const longest = Math.max(...stops.map((stop) => stop.length)) - 1;
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(-length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}
