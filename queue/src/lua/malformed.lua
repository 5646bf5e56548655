-- Someone else has written over a job's record.

-- What waits of it is not counted any more, as far as can be told.
local function uncount_malformed(uid)
  local counted, next, returned, adopted, closed =
    unpack(call('HMGET', P .. 'job:' .. uid, 'counted', 'next', 'returned', 'adopted', 'closed'))
  local total, bucket = (counted or ''):match('^(%d+) (.*)$')
  if total and not closed then
    add_backlog(bucket, -(tonumber(total) - count(next) - count(adopted) + count(returned)))
  end
  call('HSET', P .. 'job:' .. uid, 'closed', 1)
end

-- Its place is taken by one dead letter.
local function bury_malformed(uid, now)
  uncount_malformed(uid)
  bury(uid, '0', 0, now, error_json(MALFORMED_JOB, 'its record in Redis can not be read'))
  event(uid, 'finished')
end
