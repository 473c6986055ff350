// Made of core/events/contract.py by `python -m lab.docs`.
export const EVENT_BYTES_MAX = 65536;
export const EVENTS_PER_MESSAGE_MAX = 1000;
export const LEVELS_MAX = 32;
export const MESSAGE_BYTES_MAX = 1048576;
export const USAGE_BYTES_MAX = 8192;
export const COUNTS = {
  "names": [
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens"
  ],
  "min": 0,
  "max": 9007199254740991
};
export const FIELDS = {
  "event_id": {
    "kind": "text",
    "min": 1,
    "max": 128,
    "required": true
  },
  "mandate_id": {
    "kind": "text",
    "min": 1,
    "max": 128,
    "required": true
  },
  "user_id": {
    "kind": "text",
    "min": 1,
    "max": 128,
    "required": true
  },
  "price_chf": {
    "kind": "price"
  },
  "occurred_at": {
    "kind": "time",
    "required": true
  },
  "provider": {
    "kind": "text",
    "min": 0,
    "max": 128
  },
  "model": {
    "kind": "text",
    "min": 0,
    "max": 128
  },
  "feature_code": {
    "kind": "text",
    "min": 0,
    "max": 128
  },
  "feature_instance_id": {
    "kind": "text",
    "min": 0,
    "max": 128
  },
  "workflow_id": {
    "kind": "text",
    "min": 0,
    "max": 128
  },
  "description": {
    "kind": "text",
    "min": 0,
    "max": 500
  },
  "usage": {
    "kind": "usage"
  },
  "schema_version": {
    "kind": "integer",
    "min": 1,
    "max": 2
  },
  "usage_dialect": {
    "kind": "choice",
    "of": [
      "openai.chat",
      "openai.responses",
      "anthropic.messages",
      "google.generate_content",
      "bedrock.converse",
      "openrouter.chat",
      "canonical",
      "mistral.chat",
      "xai.chat",
      "deepseek.chat",
      "cohere.v2",
      "otel.genai",
      "langchain.usage_metadata"
    ]
  },
  "service_tier": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "processing": {
    "kind": "choice",
    "of": [
      "interactive",
      "batch"
    ]
  },
  "speed": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "region_scope": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "model_requested": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "provider_account": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "provider_request_id": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "operation_id": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "attempt": {
    "kind": "integer",
    "min": 0,
    "max": 32767
  },
  "outcome": {
    "kind": "choice",
    "of": [
      "completed",
      "cancelled",
      "failed",
      "timed_out"
    ]
  },
  "usage_basis": {
    "kind": "choice",
    "of": [
      "reported",
      "partial",
      "estimated",
      "none"
    ]
  },
  "reported_cost": {
    "kind": "cost"
  },
  "hold_key": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "hold_final": {
    "kind": "boolean"
  },
  "producer_id": {
    "kind": "text",
    "min": 1,
    "max": 128
  },
  "producer_seq": {
    "kind": "integer",
    "min": 1,
    "max": 9007199254740991
  }
};
export const ALIASES = {
  "eventId": "event_id",
  "mandateId": "mandate_id",
  "userId": "user_id",
  "priceCHF": "price_chf",
  "occurredAt": "occurred_at",
  "aicoreProvider": "provider",
  "aicoreModel": "model",
  "featureCode": "feature_code",
  "featureInstanceId": "feature_instance_id",
  "workflowId": "workflow_id",
  "usageDialect": "usage_dialect",
  "serviceTier": "service_tier",
  "regionScope": "region_scope",
  "modelRequested": "model_requested",
  "providerAccount": "provider_account",
  "providerRequestId": "provider_request_id",
  "operationId": "operation_id",
  "usageBasis": "usage_basis",
  "reportedCost": "reported_cost",
  "holdKey": "hold_key",
  "holdFinal": "hold_final",
  "producerId": "producer_id",
  "producerSeq": "producer_seq"
};
