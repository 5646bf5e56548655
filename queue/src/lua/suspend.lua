-- Keeps a job's waiting tasks from being claimed.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, uid, how many of its returned tasks earlier calls have seen to.
-- Returns whether the job is known, and whether to call again.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local uid, from = ARGV[2], tonumber(ARGV[3])
local c = read_counts(uid)
if not c then return { 0, 0 } end
if c.unwanted then return { 1, 0 } end
if not c.closed then add_backlog(c.s.bucket, -c.waiting) end
call('HSET', P .. 'job:' .. uid, 'suspended', 1, 'closed', 1)
return { 1, withdraw(uid, c.s, from) and 1 or 0 }
