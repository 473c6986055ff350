import { present } from "./events.js";

// What an answer of a provider's SDK says of its call, as fields of an event; its usage object goes along as it came.

/** Fields out of an answer of OpenAI's SDK: chat completions, responses and embeddings. */
export function fromOpenai(answer) {
  return present({
    provider: "openai",
    model: answer.model,
    service_tier: answer.service_tier,
    provider_request_id: answer.id,
    ...usageOf(answer.object === "response" ? "openai.responses" : "openai.chat", answer.usage),
  });
}

/** Fields out of a message of Anthropic's SDK. */
export function fromAnthropic(answer) {
  return present({
    provider: "anthropic",
    model: answer.model,
    provider_request_id: answer.id,
    ...usageOf("anthropic.messages", answer.usage),
  });
}

/** Fields out of an answer of Google's SDK for Gemini, or of its REST API. */
export function fromGemini(answer) {
  return present({
    provider: "google",
    model: answer.modelVersion,
    provider_request_id: answer.responseId,
    ...usageOf("google.generate_content", answer.usageMetadata),
  });
}

// An answer without usage is not one that cost nothing: it says that nobody knows.
function usageOf(usage_dialect, usage) {
  return usage ? { usage_dialect, usage } : { usage_basis: "none" };
}
