-- The listing of a job has ended or is not wanted now: nobody is to make the one that waits.
local function take_listing_back(uid, s)
  local job, index = P .. 'job:' .. uid, integer(s.total)
  if not s.listing then return end
  local waited = read_back(call('HGET', job, index))
  call('HDEL', job, index)
  if not waited then return end
  call('ZREM', P .. 'returned:' .. s.class, task_of(uid, index))
  call('ZREM', P .. 'later', task_of(uid, index))
  add_backlog(bucket_of(s, s.listing_kind), -1)
end

-- The listing of a job was not stored: another worker tries, or it stays without.
local function give_listing_back(uid, index, held, c, history, ready, err, now)
  local job = P .. 'job:' .. uid
  if err then
    call('HSET', job, index, ('dead %d %.0f\n%s'):format(held.attempt, now, err))
    return event(uid, 'finished')
  end
  history.charged = 0
  call('HSET', job, index, ('back %d\n%s'):format(held.attempt, cjson.encode(history)))
  offer(uid, index, c.s, ready, true, now)
  add_backlog(bucket_of(c.s, c.s.listing_kind), 1)
end
