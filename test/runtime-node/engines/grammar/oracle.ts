import { Ajv2020 } from "ajv/dist/2020.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const CLOCK = /^(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-](\d\d):(\d\d))$/;

function isDate(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

function isTime(text: string): boolean {
  const [, hour, minute, second, , zone, zoneHour, zoneMinute] = CLOCK.exec(text) ?? [];
  const isClock = Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60;
  return isClock && (zone === "Z" || (Number(zoneHour) < 24 && Number(zoneMinute) < 60));
}

/** Says by ajv, which knows nothing of grammars, whether a document is valid. */
export function createOracle(schema: object): (document: unknown) => boolean {
  const ajv = new Ajv2020({ strict: false, logger: false });
  ajv.addFormat("uuid", UUID);
  ajv.addFormat("date", isDate);
  ajv.addFormat("time", isTime);
  ajv.addFormat(
    "date-time",
    (text) => isDate(text.slice(0, 10)) && text[10] === "T" && isTime(text.slice(11)),
  );
  const validate = ajv.compile(schema);
  return (document) => validate(document) === true;
}
