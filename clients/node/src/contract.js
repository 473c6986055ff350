import { ALIASES, COUNTS, EVENT_BYTES_MAX, FIELDS, LEVELS_MAX, USAGE_BYTES_MAX } from "./contract.generated.js";
import { ContractError } from "./errors.js";
import { present } from "./events.js";

// ECMA-262 with the flag u: \p{Cs} is half a surrogate pair.
const NOT_PLAIN = /[\p{Cc}\p{Cs}\u{FDD0}-\u{FDEF}]|\p{Noncharacter_Code_Point}/u;
const DECIMAL = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,6})?$/;
const TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/;
const PRICE_MAX = 1_000_000;
const STRING_CURE = 'pass a string such as "0.0042": a number of JavaScript is a binary fraction';

/**
 * Returns the event's JSON if the worker will take it as far as its form goes; `null` and `undefined` mean absent.
 *
 * @throws {ContractError} with field, value, reason and cure of the first thing that is wrong.
 */
export function checkedJson(event) {
  if (event === null || typeof event !== "object" || Array.isArray(event)) {
    throw new ContractError("event", event, "is not an object");
  }
  const given = present(event);
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(FIELDS, name)) {
      throw new ContractError(name, value, "is not a field of the contract", ALIASES[name] ? `write ${ALIASES[name]}` : undefined);
    }
    const { kind, ...bounds } = FIELDS[name];
    CHECKS[kind](name, value, bounds, given);
  }
  for (const [name, { required }] of Object.entries(FIELDS)) {
    if (required && !Object.hasOwn(given, name)) {
      throw new ContractError(name, undefined, "is missing");
    }
  }
  const json = JSON.stringify(given);
  if (Buffer.byteLength(json) > EVENT_BYTES_MAX) {
    throw new ContractError("event", given.event_id, `is more than ${EVENT_BYTES_MAX} bytes of JSON`, "send less text");
  }
  return json;
}

const CHECKS = {
  text(name, value, { min, max }) {
    refuseUnless(typeof value === "string", name, value, "is not a text");
    const length = [...value].length;
    refuseUnless(length >= min && length <= max, name, value, `has ${length} characters; ${min} to ${max} are accepted`);
    refuseUnless(!NOT_PLAIN.test(value), name, value, "has a control character, a noncharacter or half a surrogate pair");
  },
  integer(name, value, { min, max }) {
    const fits = Number.isSafeInteger(value) && value >= min && value <= max;
    refuseUnless(fits, name, value, `is not a whole number from ${min} to ${max}`);
  },
  boolean(name, value) {
    refuseUnless(typeof value === "boolean", name, value, "is neither true nor false");
  },
  choice(name, value, { of }) {
    refuseUnless(of.includes(value), name, value, `is none of ${of.join(", ")}`);
  },
  price(name, value) {
    refuseUnless(typeof value === "string", name, value, "is not a text", STRING_CURE);
    refuseUnless(DECIMAL.test(value), name, value, "is not a decimal number", STRING_CURE);
    refuseUnless(!isNegative(value) && !isAbove(value, PRICE_MAX), name, value, `is not between 0 and ${PRICE_MAX}`);
  },
  time(name, value) {
    const found = typeof value === "string" ? TIME.exec(value) : null;
    refuseUnless(found, name, value, "is not an RFC 3339 time with offset", "pass new Date().toISOString()");
    const [year, month, day] = found.slice(1, 4).map(Number);
    const fits = year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= daysOf(year, month);
    refuseUnless(fits, name, value, "is not a time of the calendar");
  },
  cost(name, value) {
    refuseUnless(isObject(value), name, value, "is not an object of amount and currency");
    for (const key of Object.keys(value)) {
      refuseUnless(key === "amount" || key === "currency", `${name}.${key}`, value[key], "is not a field of the contract");
    }
    CHECKS.price(`${name}.amount`, value.amount);
    refuseUnless(/^[A-Z]{3}$/.test(value.currency), `${name}.currency`, value.currency, "is not a code of ISO 4217 such as USD");
  },
  usage(name, value, _, { usage_dialect: dialect }) {
    refuseUnless(isObject(value), name, value, "is not an object");
    if (dialect !== undefined) {
      return rawUsage(name, value);
    }
    const cure = `send ${COUNTS.names.join(", ")}, or name a usage_dialect and send the provider's object as it came`;
    for (const [key, count] of Object.entries(value)) {
      refuseUnless(COUNTS.names.includes(key), `${name}.${key}`, count, "is not a field of the contract", cure);
      if (count !== null && count !== undefined) {
        CHECKS.integer(`${name}.${key}`, count, COUNTS);
      }
    }
  },
};

function isNegative(decimal) {
  return decimal.startsWith("-") && /[1-9]/.test(decimal.split(/e/i)[0]);
}

// A number of JavaScript can't tell 1000000 from what is a little more.
function isAbove(decimal, max) {
  if (Number(decimal) !== max) return Number(decimal) > max;
  const [mantissa, exponent = "0"] = decimal.split(/e/i);
  const [whole, places = ""] = mantissa.split(".");
  const scale = places.length - Number(exponent);
  return BigInt(whole + places) * 10n ** BigInt(Math.max(0, -scale)) > BigInt(max) * 10n ** BigInt(Math.max(0, scale));
}

function rawUsage(name, value) {
  let json;
  try {
    json = JSON.stringify(value, (key, part) => {
      refuseUnless(typeof part !== "number" || Number.isFinite(part), `${name}: ${key}`, part, "is not a number of JSON");
      return part;
    });
  } catch (error) {
    if (error instanceof ContractError) throw error;
    throw new ContractError(name, String(value), `is not JSON: ${error.message}`, "pass the provider's object as it came");
  }
  refuseUnless(Buffer.byteLength(json) <= USAGE_BYTES_MAX, name, json, `is more than ${USAGE_BYTES_MAX} bytes of JSON`);
  refuseUnless(levels(JSON.parse(json)) < LEVELS_MAX, name, json, `has more than ${LEVELS_MAX - 1} levels`);
}

function levels(value) {
  return value === null || typeof value !== "object" ? 0 : 1 + Math.max(0, ...Object.values(value).map(levels));
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function daysOf(year, month) {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31;
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
}

function refuseUnless(fits, field, value, reason, cure) {
  if (!fits) throw new ContractError(field, value, reason, cure);
}
