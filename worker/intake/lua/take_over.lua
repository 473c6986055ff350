-- Takes over one claim whose holder has given no sign of life for ARGV[1] seconds.
-- KEYS[1]: index of claims; KEYS[2]: starts by claim; ARGV[2]: prefix of the claims' keys.
-- Returns (claim id, starts so far, the claim's entries...), or nothing.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]), 'LIMIT', 0, 1)[1]
if not id then
  return {}
end
local claim = redis.call('LRANGE', ARGV[2] .. id, 0, -1)
if #claim == 0 then
  redis.call('ZREM', KEYS[1], id) -- acknowledged meanwhile, or written by a hand other than ours
  redis.call('HDEL', KEYS[2], id)
  return {}
end
redis.call('ZADD', KEYS[1], 'XX', now, id)
table.insert(claim, 1, redis.call('HGET', KEYS[2], id) or '0')
table.insert(claim, 1, id)
return claim
