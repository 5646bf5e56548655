-- Adds a message, unless it was added before.
-- KEYS: the job's messages, the messages that are due, the message.
-- ARGV: message's id, now in ms, fields and values of the message.
-- Returns 1 if it is new.
if redis.call('HSETNX', KEYS[1], ARGV[1], 'open') == 0 then return 0 end
redis.call('EXPIRE', KEYS[1], 2592000) -- 30 days
redis.call('HSET', KEYS[3], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[3], 2592000)
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
