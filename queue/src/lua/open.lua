-- Lets a job's waiting tasks be claimed again: its own entry, and those of its tasks that came back, from the one at `from`
-- on, as many as one script may. Returns whether there are more.
local function open(uid, c, from, now)
  local s = c.s
  if from == 0 then
    if c.next < s.total then
      call('ZADD', line_key(s.flow, s.model), integer(s.start_by), uid)
      line_changed(s)
    end
    add_backlog(s.bucket, c.waiting)
  end
  local entries = call('ZRANGE', P .. 'back:' .. uid, from, from + BATCH - 1, 'WITHSCORES')
  for i = 1, #entries, 2 do
    local index, ready = entries[i], tonumber(entries[i + 1])
    local _, history = read_back(call('HGET', P .. 'job:' .. uid, index))
    offer(uid, index, s, ready, history and read_history(history).charged, now)
  end
  return #entries == 2 * BATCH
end
