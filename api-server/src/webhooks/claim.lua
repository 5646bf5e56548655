-- Takes the message that is due first; nobody else takes it until the lease ends.
-- KEYS: the messages that are due; what messages' keys begin with.
-- ARGV: now and the length of the lease, in ms.
-- Returns its id and its fields and values; nothing if none is due.
local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
if not id then return nil end
redis.call('ZADD', KEYS[1], ARGV[1] + ARGV[2], id)
return { id, redis.call('HGETALL', KEYS[2] .. id) }
