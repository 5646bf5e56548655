-- Notes how many of a job's chunks were told.
-- KEYS: the job's number of chunks. ARGV: how many it has now, for how many seconds that is noted.
-- Returns how many were told before.
local told = tonumber(redis.call('GET', KEYS[1]) or '0')
local made = tonumber(ARGV[1])
if made > told then redis.call('SET', KEYS[1], made, 'EX', ARGV[2]) end
return told
