-- Splits the claim ARGV[1] into claims of one message each, which anyone may take over at once.
-- KEYS[1]: index of claims; KEYS[2]: starts by claim; ARGV[2]: prefix of the claims' keys.
redis.call('HDEL', KEYS[2], '') -- changes nothing: after a first write that frees memory the others are allowed too
local claim = redis.call('LRANGE', ARGV[2] .. ARGV[1], 0, -1)
local position, n = 1, 0
while position < #claim do
  local queue, messages = claim[position], tonumber(claim[position + 1])
  for i = position + 2, position + 1 + messages do
    n = n + 1
    local id = ARGV[1] .. '/' .. n
    redis.call('RPUSH', ARGV[2] .. id, queue, '1', claim[i])
    redis.call('ZADD', KEYS[1], 0, id)
  end
  position = position + 2 + messages
end
redis.call('DEL', ARGV[2] .. ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return n
