-- Tasks that come back by interruption go before everything, the most urgent first.
local FRONT = -1e15

-- Offers a task that was given back: ready 0 is at once and before everything, else the time it may be
-- claimed again, before those of its job that have not run yet.
local function offer_task(task, s, ready, now)
  if ready == 0 then
    enter_lane(class_of(s.line), { FRONT + s.due, '!' .. task })
  elseif ready <= now then
    call('ZADD', P .. 'line:' .. s.line, s.due - 1, task)
    open_lines(class_of(s.line), { s.line }, { s.arrival })
  else
    call('ZADD', P .. 'later', ready, task)
  end
end
