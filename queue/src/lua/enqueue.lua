local answers, tasks_of = {}, {}
for i = 1, #ARGV, 4 do
  local uid, record, payload, flags = unpack(ARGV, i, i + 3)
  local job = P .. 'job:' .. uid
  local new = call('EXISTS', job) == 0
  if not new then
    local known = call('HGET', job, 'f') or ''
    if flags:find('r') and not known:find('r') then
      call('HSET', job, 'f', known .. 'r')
    end
  elseif flags == '' then
    call('HSET', job, 's', record, 'p', payload)
  else
    call('HSET', job, 's', record, 'p', payload, 'f', flags)
  end
  if new and not flags:find('s') then
    local arrival, sla, _, _, _, total, _, _, line, bucket = struct.unpack(SPEC, record)
    call('ZADD', P .. 'line:' .. line, integer(arrival + sla), uid)
    open_line(line, arrival)
    tasks_of[bucket] = (tasks_of[bucket] or 0) + total
  end
  answers[#answers + 1] = new and 1 or 0
end
for bucket, tasks in pairs(tasks_of) do
  call('HINCRBY', P .. 'backlog', bucket, integer(tasks))
end
return answers
