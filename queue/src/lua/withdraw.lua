-- Takes a job's waiting tasks from where claims find them: its own entry, and those of its tasks that came back, from the
-- one at `from` on, as many as one script may. Returns whether there are more.
local function withdraw(uid, s, from)
  local line = line_key(s.flow, s.model)
  call('ZREM', line, uid)
  local back = call('ZRANGE', P .. 'back:' .. uid, from, from + BATCH - 1)
  if #back > 0 then
    for i, index in ipairs(back) do back[i] = task_of(uid, index) end
    call('ZREM', line, unpack(back))
    call('ZREM', P .. 'later', unpack(back))
    call('ZREM', P .. 'returned:' .. s.class, unpack(back))
  end
  line_changed(s)
  return #back == BATCH
end
