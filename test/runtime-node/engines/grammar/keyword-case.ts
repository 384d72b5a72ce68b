/** Documents a schema allows and documents it does not. */
export interface KeywordCase {
  readonly name: string;
  readonly schema: unknown;
  readonly valid: readonly unknown[];
  readonly invalid: readonly unknown[];
}
