-- Takes over one claim whose holder has given no sign of life for ARGV[1] seconds: under the new id ARGV[2], so that
-- whatever the old holder still says about it hits nothing. Counts that work on it begins.
-- KEYS[1]: index of claims; KEYS[2]: starts by claim; ARGV[3]: prefix of the claims' keys.
-- Returns (starts so far, the claim's entries...), or nothing.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]), 'LIMIT', 0, 1)[1]
if not id then
  return {}
end
local claim = redis.pcall('LRANGE', ARGV[3] .. id, 0, -1)
if claim.err then
  redis.call('ZADD', KEYS[1], 'XX', now, id) -- not ours: let the claims behind it have their turn
  return redis.error_reply('claim ' .. id .. ' is no claim: ' .. claim.err)
end
if #claim == 0 then
  redis.call('ZREM', KEYS[1], id) -- acknowledged meanwhile
  redis.call('HDEL', KEYS[2], id)
  return {}
end
local starts = redis.call('HGET', KEYS[2], id) or '0'
redis.call('RENAME', ARGV[3] .. id, ARGV[3] .. ARGV[2]) -- the first write: allowed with the memory full, and so is what follows
redis.call('ZREM', KEYS[1], id)
redis.call('HDEL', KEYS[2], id)
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], starts + 1)
table.insert(claim, 1, starts)
return claim
