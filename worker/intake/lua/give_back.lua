-- Puts the messages of the claim ARGV[1] back where they were taken from, next in turn.
-- KEYS[1]: index of claims; KEYS[2]: starts by claim; ARGV[2]: prefix of the claims' keys.
redis.call('HDEL', KEYS[2], '') -- changes nothing: after a first write that frees memory the others are allowed too
local claim = redis.call('LRANGE', ARGV[2] .. ARGV[1], 0, -1)
local position = 1
while position < #claim do
  local queue, messages = claim[position], tonumber(claim[position + 1])
  for i = position + 1 + messages, position + 2, -1 do
    redis.call('RPUSH', queue, claim[i])
  end
  position = position + 2 + messages
end
redis.call('DEL', ARGV[2] .. ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return #claim
