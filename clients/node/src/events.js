import { randomBytes } from "node:crypto";

/** A new id that is unique and grows with time (UUIDv7). */
export function uuidv7(now = Date.now()) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * The event that these fields are, with an `event_id` and an `occurred_at` of now where they have none. Keep it until it is confirmed: the
 * same event may be recorded as often as you like, and is charged once.
 */
export function newEvent(fields) {
  const { event_id = uuidv7(), occurred_at = new Date(), ...others } = present(fields);
  return { event_id, ...others, occurred_at: occurred_at instanceof Date ? occurred_at.toISOString() : occurred_at };
}

/** The fields that say something: `null` means the same as absent. */
export function present(fields) {
  return Object.fromEntries(Object.entries(fields ?? {}).filter(([, value]) => value !== null && value !== undefined));
}
