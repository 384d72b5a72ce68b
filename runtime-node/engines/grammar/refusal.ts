/**
 * Why a schema has no grammar. Thrown inside the compiler to unwind it, and turned into a value at its face
 * (`compileJsonSchema`): no caller sees it thrown.
 */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly keyword: string;
  /** JSON pointer of the keyword inside the schema, `/properties/a/pattern`. */
  readonly path: string;

  constructor(keyword: string, path: string, reason: string) {
    super(reason);
    this.keyword = keyword;
    this.path = path;
  }
}

/** An automaton or grammar past its bound. The caller knows which keyword it was building and refuses that. */
export class TooLarge extends Error {
  override readonly name = "TooLarge";
}

/** One more step of a JSON pointer (RFC 6901 escapes). */
export function pointer(path: string, ...steps: readonly (string | number)[]): string {
  return [path, ...steps.map((step) => String(step).replaceAll("~", "~0").replaceAll("/", "~1"))].join("/");
}
