/** Everything that the client throws on purpose is one of these. */
export class TollbookError extends Error {
  get name() {
    return this.constructor.name;
  }
}

/** An event, a question or an option is wrong: sending it would not help. `field`, `value`, `reason` and `cure` say what. */
export class ContractError extends TollbookError {
  constructor(field, value, reason, cure = "docs/producers.md has the fields") {
    super(`${field} ${reason} (got ${shown(value)}); ${cure}`);
    Object.assign(this, { field, value, reason, cure });
  }
}

/** The broker didn't confirm in time: unknown whether it has them. `events` are safe to record again as they are: their ids are in them. */
export class NotDelivered extends TollbookError {
  constructor(reason, events = [], options) {
    super(`not confirmed by the broker: ${reason}`, options);
    this.events = events;
  }
}

/** No answer came in time: unknown whether the question was worked on. Asked again under the same `key` it is one question. */
export class NoAnswer extends TollbookError {
  constructor(task, reason, options) {
    super(`${task}: no answer: ${reason}`, options);
  }
}

/** Tollbook answered that it won't: `kind` is `refused`, `not_found`, `conflict`, `unavailable` or `failed`. */
export class Refused extends TollbookError {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Whether no attempt will change it: the broker knows the login, and doesn't let it. */
export function isFinal(error) {
  return /^(NOPERM|WRONGPASS|NOAUTH)|ACCESS.REFUSED/.test(error.message);
}

function shown(value) {
  let text;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = String(value);
  }
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
