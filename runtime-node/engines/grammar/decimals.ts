/**
 * Sets of numbers as automata over plain decimal text (`-12.50`, no exponent), closed under trailing zeros: 1 and
 * 1.00 are both in or both out. Bounds compare digit by digit, so they are exact in decimal.
 */
import { type Dfa, explore, intersectDfa, subtractDfa } from "./automaton.ts";
import { type Charset, charset } from "./charset.ts";
import { TooLarge } from "./refusal.ts";

/** Bounds how long a model can go on with one number; 20 digits hold a 64-bit integer. */
export const INTEGER_DIGITS = 20;
export const FRACTION_DIGITS = 20;
/** Decimals of up to 15 significant digits are distinct as doubles, so `<` holds after parsing as it does here. */
const EXACT_DIGITS = 15;

const MINUS: Charset = charset([0x2d, 0x2d]);
const POINT: Charset = charset([0x2e, 0x2e]);
const digitSet = (digit: number): Charset => charset([0x30 + digit, 0x30 + digit]);
const DIGITS = Array.from({ length: 10 }, (_, digit) => digit);

interface Decimal {
  readonly isNegative: boolean;
  readonly integer: string;
  readonly fraction: string;
}

/** A finite number without an exponent: 1e-7 is `0.0000001`. */
export function plainDecimal(value: number): string {
  const [, sign = "", integer = "0", fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [];
  const shift = Number(exponent);
  const digits = integer + fraction;
  const at = integer.length + shift;
  if (at <= 0) return `${sign}0.${"0".repeat(-at)}${digits}`;
  if (at >= digits.length) return sign + digits.padEnd(at, "0");
  return `${sign}${digits.slice(0, at)}.${digits.slice(at)}`;
}

function decimalOf(value: number): Decimal {
  const [, sign, integer = "0", fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(plainDecimal(value)) ?? [];
  return { isNegative: sign === "-", integer, fraction: fraction.replace(/0+$/, "") };
}

/** Whether a number keeps apart from its neighbours when it is parsed into a double. */
export function isExactDouble(value: number): boolean {
  const { integer, fraction } = decimalOf(value);
  return integer.length + fraction.length <= EXACT_DIGITS;
}

type Order = -1 | 0 | 1;
type State =
  | { readonly at: "start" }
  | { readonly at: "sign" }
  | { readonly at: "integer"; readonly minus: boolean; readonly count: number; readonly order: Order }
  | { readonly at: "point"; readonly minus: boolean; readonly order: Order }
  | { readonly at: "fraction"; readonly minus: boolean; readonly count: number; readonly order: Order };

/** The numbers whose order to `bound` is in `accepted`. */
export function compared(bound: number, accepted: readonly Order[]): Dfa {
  const { isNegative, integer, fraction } = decimalOf(bound);
  if (integer.length > INTEGER_DIGITS) throw new TooLarge(`${bound} has too many digits`);
  const orderTo = (digit: number, other: string | undefined): Order => {
    const difference = digit - Number(other ?? 0);
    return difference < 0 ? -1 : difference > 0 ? 1 : 0;
  };
  const nextInteger = (minus: boolean, count: number, order: Order, digit: number): State => ({
    at: "integer",
    minus,
    count: count + 1,
    order: order === 0 && count < integer.length ? orderTo(digit, integer[count]) : order,
  });
  /** The order of the magnitudes after the integer part, by its length first. */
  const settled = (count: number, order: Order): Order =>
    count < integer.length ? -1 : count > integer.length ? 1 : order;
  const finalOrder = (minus: boolean, count: number, order: Order): Order => {
    const magnitude = order === 0 && count < fraction.length ? -1 : order;
    if (minus !== isNegative && !(minus && integer === "0" && fraction === "")) return minus ? -1 : 1;
    return minus ? (magnitude === 0 ? 0 : magnitude === 1 ? -1 : 1) : magnitude;
  };
  return explore<State>({
    start: { at: "start" },
    key: (state) => JSON.stringify(state),
    moves: (state) => {
      switch (state.at) {
        case "start":
        case "sign": {
          const minus = state.at === "sign";
          const digits = DIGITS.map((digit) => [digitSet(digit), nextInteger(minus, 0, 0, digit)] as const);
          return minus ? digits : [[MINUS, { at: "sign" }], ...digits];
        }
        case "integer": {
          const { minus, count, order } = state;
          const point: readonly [Charset, State] = [
            POINT,
            { at: "point", minus, order: settled(count, order) },
          ];
          if (count >= INTEGER_DIGITS) return [point];
          return [
            point,
            ...DIGITS.map((digit) => [digitSet(digit), nextInteger(minus, count, order, digit)] as const),
          ];
        }
        case "point":
        case "fraction": {
          const count = state.at === "point" ? 0 : state.count;
          if (count >= FRACTION_DIGITS) return [];
          return DIGITS.map((digit) => {
            const order = state.order === 0 ? orderTo(digit, fraction[count]) : state.order;
            return [
              digitSet(digit),
              { at: "fraction", minus: state.minus, count: count + 1, order },
            ] as const;
          });
        }
        default:
          return state satisfies never;
      }
    },
    accepts: (state) => {
      if (state.at === "integer") {
        return accepted.includes(finalOrder(state.minus, 0, settled(state.count, state.order)));
      }
      return state.at === "fraction" && accepted.includes(finalOrder(state.minus, state.count, state.order));
    },
  });
}

/** Without leading zeros and `-0`; what every number automaton is intersected with. */
export const wellFormed = lazy(() => subtractDfa(compared(0, [-1, 0, 1]), leadingZeros()));
export const integers = lazy(() =>
  intersectDfa(
    wellFormed(),
    explore({
      start: "",
      key: String,
      moves: (): readonly (readonly [Charset, string])[] => [
        [MINUS, "-"],
        [charset([0x30, 0x39]), "0"],
      ],
      accepts: (last) => last === "0",
    }),
  ),
);
/** 3, 3.0 and 3.000. */
export const integral = lazy(() => intersectDfa(wellFormed(), multiplesOf(1)));

/** At most 15 digits, in numbers with a fraction at least; integers have their own limit. */
const shortTexts = (integerDigits: number): (() => Dfa) =>
  lazy(() =>
    explore({
      start: { count: 0, hasPoint: false },
      key: ({ count, hasPoint }) => `${count} ${hasPoint}`,
      moves: ({ count, hasPoint }) => [
        [MINUS, { count, hasPoint }] as const,
        ...(count <= EXACT_DIGITS ? [[POINT, { count, hasPoint: true }] as const] : []),
        ...(count < (hasPoint ? EXACT_DIGITS : integerDigits)
          ? [[charset([0x30, 0x39]), { count: count + 1, hasPoint }] as const]
          : []),
      ],
      accepts: () => true,
    }),
  );
const shortFractions = shortTexts(INTEGER_DIGITS);
const shortNumbers = shortTexts(EXACT_DIGITS);

/**
 * Which texts parsing into a double can't move out of the set: all of them; those whose fraction is short enough not
 * to be rounded onto a bound; or only those every digit of which a double holds.
 */
export type Rounding = "harmless" | "at bounds" | "everywhere";

/** The texts of `dfa` that stay in it as doubles. */
export function unrounded(dfa: Dfa, rounding: Rounding): Dfa {
  switch (rounding) {
    case "harmless":
      return dfa;
    case "at bounds":
      return intersectDfa(dfa, shortFractions());
    case "everywhere":
      return intersectDfa(dfa, shortNumbers());
    default:
      return rounding satisfies never;
  }
}

function lazy(make: () => Dfa): () => Dfa {
  let made: Dfa | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** Texts no number is written as: 012, -0 and -0.00. */
function leadingZeros(): Dfa {
  const digit = charset([0x30, 0x39]);
  const nonZero = charset([0x31, 0x39]);
  const any = charset([0x2d, 0x2e], [0x30, 0x39]);
  type Place = "start" | "minus" | "zero" | "minus zero" | "minus zero point" | "bad" | "fine";
  const moves: Record<Place, readonly (readonly [Charset, Place])[]> = {
    start: [
      [MINUS, "minus"],
      [digitSet(0), "zero"],
      [nonZero, "fine"],
    ],
    minus: [
      [digitSet(0), "minus zero"],
      [nonZero, "fine"],
    ],
    zero: [
      [digit, "bad"],
      [POINT, "fine"],
    ],
    "minus zero": [
      [digit, "bad"],
      [POINT, "minus zero point"],
    ],
    "minus zero point": [
      [digitSet(0), "minus zero point"],
      [nonZero, "fine"],
    ],
    bad: [[any, "bad"]],
    fine: [[any, "fine"]],
  };
  return explore<Place>({
    start: "start",
    key: String,
    moves: (place) => moves[place],
    accepts: (place) => place === "bad" || place.startsWith("minus zero"),
  });
}

export function multiplesOf(divisor: number): Dfa {
  const { integer, fraction } = decimalOf(Math.abs(divisor));
  const scale = fraction.length;
  const unit = Number(integer + fraction);
  if (!Number.isSafeInteger(unit * 10) || unit === 0 || unit > 5_000)
    throw new TooLarge(`${divisor} is too fine`);
  const remaining = (digits: number, rest: number): number =>
    Number((BigInt(rest) * 10n ** BigInt(digits)) % BigInt(unit));
  interface Place {
    readonly fraction: number | undefined;
    readonly rest: number;
  }
  return explore<Place>({
    start: { fraction: undefined, rest: 0 },
    key: (place) => `${place.fraction},${place.rest}`,
    moves: ({ fraction: count, rest }) => {
      const start = count === undefined ? [[MINUS, { fraction: count, rest }] as const] : [];
      const point = count === undefined ? [[POINT, { fraction: 0, rest }] as const] : [];
      const past = count !== undefined && count >= scale;
      const digits = (past ? [0] : DIGITS).map(
        (digit) =>
          [
            digitSet(digit),
            past
              ? { fraction: count, rest }
              : { fraction: count === undefined ? undefined : count + 1, rest: (rest * 10 + digit) % unit },
          ] as const,
      );
      return [...start, ...point, ...digits];
    },
    accepts: ({ fraction: count, rest }) => remaining(scale - (count ?? 0), rest) === 0,
  });
}
