/** How a command ends, as a script sees it. */
export const EXIT = { held: 0, sloBroken: 1, badInput: 2, invalid: 3, dead: 4, interrupted: 130 } as const;

/** Wrong input of the user: a flag, a file, a target that can't be used. Exit code 2. */
export class InputError extends Error {}

/** Nothing answers there, or nothing that could be used. Exit code 4. */
export class DeadTargetError extends Error {}

/** Of what a command threw; 1 for what no user could have caused. */
export function exitCodeFor(error: unknown): number {
  if (error instanceof InputError || isRefusedPath(error)) return EXIT.badInput;
  return error instanceof DeadTargetError ? EXIT.dead : EXIT.sloBroken;
}

/** A folder or file of `--out` that can't be made. */
function isRefusedPath(error: unknown): boolean {
  const syscall = error instanceof Error && "path" in error && "syscall" in error ? error.syscall : undefined;
  return syscall === "mkdir" || syscall === "open";
}
