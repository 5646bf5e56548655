-- A worker's record: order (W work, H hold, R retire, D doomed, E evicted), when the machine stops, last seen,
-- idle since (0: it was given work), last ordered; on the second line the model it has loaded; on the third, if its
-- machine gave notice: R at risk, or D and when the machine stops.
local function read_worker(id)
  local record = call('HGET', P .. 'workers', id)
  if not record then
    return { order = 'W', deadline = 0, seen = 0, idle = 0, ordered = 0, loaded = '', notice = ' 0', state = 'ready ',
             trouble = '' }
  end
  local order, deadline, seen, idle, ordered, loaded, notice, state, trouble =
    record:match('^(%a) (%d+) (%d+) (%d+) (%d+)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$')
  return {
    order = order, deadline = tonumber(deadline), seen = tonumber(seen), idle = tonumber(idle),
    ordered = tonumber(ordered), loaded = loaded, notice = notice, state = state, trouble = trouble,
  }
end

local function write_worker(id, w)
  local record = ('%s %.0f %.0f %.0f %.0f\n%s\n%s\n%s\n%s'):format(
    w.order, w.deadline, w.seen, w.idle, w.ordered, w.loaded, w.notice, w.state, w.trouble)
  call('HSET', P .. 'workers', id, record)
end

local function give_order(id, order, deadline)
  local w = read_worker(id)
  if w.order ~= 'E' then
    w.order, w.deadline = order, deadline
  end
  w.ordered = clock()
  write_worker(id, w)
  call('PUBLISH', P .. 'bell', 'order ' .. id)
end
