/** What somebody typed can't be done: its message says what to type instead. The command exits with 2. */
export class InputError extends Error {
  override readonly name = "InputError";
}
