-- Stops a job: what waits will not run, who runs a task of it hears so at the next heartbeat. Takes as much from the
-- order as one script may.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, uid.
-- Returns whether the job is known, and whether to call again.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local uid = ARGV[2]
local job, now = P .. 'job:' .. uid, clock()
local c = read_counts(uid)
if not c then return { 0, 0 } end
if not c.unwanted then
  if not c.closed then add_backlog(c.s.bucket, -c.waiting) end
  local waited = c.waiting
  c.cancelled, c.waiting, c.unwanted = c.cancelled + waited, 0, '1'
  call('HSET', job, 'unwanted', 1, 'closed', 1, 'next', integer(c.s.total), 'adopted', 0, 'returned', 0, 'cancelled',
    integer(c.cancelled))
  if waited > 0 then tell(uid, c, 'advanced', now) end
end
local more = withdraw(uid, c.s, 0)
if more then
  call('ZREMRANGEBYRANK', P .. 'back:' .. uid, 0, BATCH - 1)
else
  call('DEL', P .. 'back:' .. uid)
end
send_events()
return { 1, more and 1 or 0 }
