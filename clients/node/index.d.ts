/** The fields of a usage event, as docs/producers.md has them; `null` means the same as absent. */
export interface EventFields {
  event_id?: string | null;
  mandate_id: string;
  user_id: string;
  /** A decimal string, such as "0.0042". */
  price_chf?: string | null;
  /** RFC 3339 with offset; now where it is absent. */
  occurred_at?: string | Date | null;
  provider?: string | null;
  model?: string | null;
  feature_code?: string | null;
  feature_instance_id?: string | null;
  workflow_id?: string | null;
  description?: string | null;
  /** Beside `usage_dialect` the provider's object as it came. */
  usage?: object | null;
  schema_version?: 1 | 2 | null;
  usage_dialect?: string | null;
  service_tier?: string | null;
  processing?: "interactive" | "batch" | null;
  speed?: string | null;
  region_scope?: string | null;
  model_requested?: string | null;
  provider_account?: string | null;
  provider_request_id?: string | null;
  operation_id?: string | null;
  attempt?: number | null;
  outcome?: "completed" | "cancelled" | "failed" | "timed_out" | null;
  usage_basis?: "reported" | "partial" | "estimated" | "none" | null;
  reported_cost?: { amount: string; currency: string } | null;
  hold_key?: string | null;
  hold_final?: boolean | null;
  producer_id?: string | null;
  producer_seq?: number | null;
}

/** An event that has its id and its time: safe to record as often as you like. */
export type UsageEvent = EventFields & { event_id: string; occurred_at: string };

export interface Options {
  /** redis, rediss, amqp or amqps; CELERY_BROKER_URL where it is absent. */
  brokerUrl?: string;
  /** Options of Node's `tls.connect`, such as `ca`; certificates are checked in any case that this doesn't take away. */
  tls?: object;
  /** Is told of every event that was not recorded, so that nobody has to await `record`. */
  onError?: (error: TollbookError) => void;
  /** Events in one message at most (100). */
  batchEventsMax?: number;
  /** Events that may wait; beyond it `record` rejects at once (10,000). */
  queueEventsMax?: number;
  /** How long an event is tried, from when it was recorded (60). */
  retrySeconds?: number;
  /** How long one attempt at the broker may take (5). */
  timeoutSeconds?: number;
  /** How long one attempt waits for an answer (2). */
  answerSeconds?: number;
  /** How often a question is asked at most (5). */
  answerAttempts?: number;
  /** Questions at once; on Redis each has a connection (32). */
  asksMax?: number;
  /** Gives each event the `producer_id` and `producer_seq` of this client (true). */
  numbered?: boolean;
  /** RabbitMQ: sends through the exchange that has the queue's name, for a login that may write to no other (false). */
  ownExchanges?: boolean;
}

export interface CheckQuestion {
  mandate_id: string;
  user_id: string;
  estimated_cost?: string;
  provider?: string;
  model?: string;
  feature_code?: string;
}

export interface CheckAnswer {
  allowed: boolean;
  reason: string | null;
  current_balance: string | null;
  held: string | null;
  available: string | null;
  required_amount: string;
  billing_model: string;
  cap: object | null;
  unjudged_caps: number[];
}

export interface HoldQuestion {
  mandate_id: string;
  user_id: string;
  /** Of this call; made where it is absent. */
  key?: string;
  /** A decimal string; or `estimated_usage` with `provider` and `model`. */
  amount?: string;
  estimated_usage?: Record<string, number>;
  provider?: string;
  model?: string;
  feature_code?: string;
  service_tier?: string;
  processing?: "interactive" | "batch";
  speed?: string;
  region_scope?: string;
  ttl_seconds?: number;
}

export interface HoldChange {
  done: boolean;
  key: string;
  state: string;
  amount: string;
  captured: string;
  released: string;
  expired: string;
  remaining: string;
  expires_at: string;
}

export interface Hold {
  readonly allowed: boolean;
  readonly reason: string | null;
  readonly key: string;
  readonly state: string | null;
  readonly expires_at: string | null;
  readonly amount: string | null;
  readonly repeated: boolean;
  readonly already_captured: boolean;
  readonly current_balance: string | null;
  readonly held: string | null;
  readonly available: string | null;
  readonly billing_model: string;
  readonly detail: string | null;
  readonly cap: object | null;
  readonly unjudged_caps: number[];
  renew(ttl_seconds?: number): Promise<HoldChange>;
  release(): Promise<HoldChange>;
}

/** Tells Tollbook what AI calls cost, and asks before they are made. One per process: it keeps connections open until `close`. */
export class Client {
  constructor(options?: Options);
  /** Resolves to the event's id once the broker holds it. Rejects with ContractError or NotDelivered. */
  record(fields: EventFields): Promise<string>;
  /** As `record`, of many: all are checked before any is sent. */
  recordMany(list: Iterable<EventFields>): Promise<string[]>;
  /** Reserves nothing. Rejects with NoAnswer or Refused. */
  check(question: CheckQuestion): Promise<CheckAnswer>;
  /** Keeps money for a call. Rejects with NoAnswer or Refused, whose `key` is the hold's. */
  authorise(question: HoldQuestion): Promise<Hold>;
  renew(question: { mandate_id: string; key: string; ttl_seconds?: number }): Promise<HoldChange>;
  release(question: { mandate_id: string; key: string }): Promise<HoldChange>;
  /** True once nothing that was recorded so far waits any more, confirmed or failed; false if that is not so in time. */
  flush(timeoutSeconds?: number): Promise<boolean>;
  /** Flushes, then ends: what could not be sent in this time fails with NotDelivered. True if there was none. */
  close(timeoutSeconds?: number): Promise<boolean>;
}

/** The event with an `event_id` and an `occurred_at` of now where it has none: keep it until it is confirmed. */
export function newEvent(fields: EventFields): UsageEvent;
/** The event's JSON. Throws ContractError where the worker would refuse its form. */
export function checkedJson(event: EventFields): string;
export function uuidv7(now?: number): string;
/** Fields out of an answer of OpenAI's SDK: chat completions, responses and embeddings. */
export function fromOpenai(answer: object): Partial<EventFields>;
/** Fields out of a message of Anthropic's SDK. */
export function fromAnthropic(answer: object): Partial<EventFields>;
/** Fields out of an answer of Google's SDK for Gemini, or of its REST API. */
export function fromGemini(answer: object): Partial<EventFields>;

export class TollbookError extends Error {
  /** Of an authorisation: the hold's key. */
  key?: string;
}
export class ContractError extends TollbookError {
  readonly field: string;
  readonly value: unknown;
  readonly reason: string;
  readonly cure: string;
}
export class NotDelivered extends TollbookError {
  /** Safe to record again as they are. */
  readonly events: UsageEvent[];
}
export class NoAnswer extends TollbookError {}
export class Refused extends TollbookError {
  readonly kind: "refused" | "not_found" | "conflict" | "forbidden" | "unavailable" | "failed";
}
