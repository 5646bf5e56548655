-- Lets a suspended job's tasks be claimed again, due as if it had arrived at another time.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, uid, arrival in ms (or empty: as before), how many of its returned tasks earlier calls have seen to.
-- Returns whether the job is known, and whether to call again.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
local uid, arrival, from = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local job = P .. 'job:' .. uid
local c = read_counts(uid)
if not c then return { 0, 0 } end
if from == 0 then
  if c.unwanted or call('HDEL', job, 'suspended') == 0 then return { 1, 0 } end
  if c.stopped then return { 1, 0 } end
  call('HDEL', job, 'closed')
  if arrival then
    local record, counted = with_arrival(c.s, c.record, arrival)
    call('HSET', job, 'record', record, 'counted', counted)
  end
end
local more = open(uid, c, from, clock())
return { 1, more and 1 or 0 }
