-- Takes up to ARGV[2] messages or ARGV[3] bytes off the lists KEYS[3..] and writes them down as the claim ARGV[1].
-- KEYS[1]: index of claims by time of the last sign of life; KEYS[2]: the claim, a list of (queue list, n, n messages)...
-- A message is in a queue or in a claim, at no time only in a socket.
redis.call('ZSCORE', KEYS[1], ARGV[1]) -- a key of a wrong type must fail here, before anything is taken
local held = redis.call('LRANGE', KEYS[2], 0, -1)
if #held > 0 then
  return held -- the reply to an earlier try was lost on the way
end
local messages_left, bytes_left, claim = tonumber(ARGV[2]), tonumber(ARGV[3]), {}
for i = 3, #KEYS do
  local taken = 0
  while messages_left > 0 and bytes_left > 0 do
    local message
    if taken == 0 then
      -- RPOP is the first write: with the memory full any other would be refused, and a full queue could never drain.
      message = redis.pcall('RPOP', KEYS[i])
      if type(message) == 'table' and message.err and not string.find(message.err, 'WRONGTYPE') and #claim == 0 then
        return message -- read-only, disk full, no permission: nothing is taken, and an empty queue is something else
      end
    else
      message = redis.call('LMOVE', KEYS[i], KEYS[2], 'RIGHT', 'RIGHT') -- inside the server, and short in its log
    end
    if type(message) ~= 'string' then
      break -- empty, or not a list at all
    end
    if taken == 0 then
      claim[#claim + 1], claim[#claim + 2] = KEYS[i], '1'
      redis.call('RPUSH', KEYS[2], KEYS[i], '1', message)
    end
    taken = taken + 1
    claim[#claim + 1] = message
    messages_left, bytes_left = messages_left - 1, bytes_left - #message
  end
  if taken > 1 then
    claim[#claim - taken] = tostring(taken)
    redis.call('LSET', KEYS[2], #claim - taken - 1, tostring(taken))
  end
end
if #claim > 0 then
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[1], now[1] + now[2] / 1000000, ARGV[1])
end
return claim
