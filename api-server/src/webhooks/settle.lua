-- Notes how an attempt ended.
-- KEYS: the job's messages, the messages that are due, the message, the job's log.
-- ARGV: message's id, its state (open, delivered, given-up, gone), when it is due again in ms, the attempt for the log.
-- Returns how many messages of the job are open.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[2] == 'open' then
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
  redis.call('HINCRBY', KEYS[3], 'attempts', 1)
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('LPUSH', KEYS[4], ARGV[4])
redis.call('LTRIM', KEYS[4], 0, 99)
redis.call('EXPIRE', KEYS[4], 2592000)
local open = 0
for _, state in ipairs(redis.call('HVALS', KEYS[1])) do
  if state == 'open' then open = open + 1 end
end
return open
