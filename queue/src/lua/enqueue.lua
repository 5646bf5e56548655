-- What is written once for all jobs: the backlog by bucket, and by class the lines that got entries.
local tasks_of, lines_of, arrivals_of = {}, {}, {}
local answers, opened = {}, {}

local function join_line(uid, arrival, sla, total, line, bucket)
  call('ZADD', P .. 'line:' .. line, integer(arrival + sla), uid)
  tasks_of[bucket] = (tasks_of[bucket] or 0) + total
  if opened[line] then return end
  opened[line] = true
  local class = class_of(line)
  local lines, arrivals = lines_of[class], arrivals_of[class]
  if not lines then
    lines, arrivals = {}, {}
    lines_of[class], arrivals_of[class] = lines, arrivals
  end
  lines[#lines + 1] = line
  arrivals[#lines] = arrival
end

for i = 1, #ARGV, 4 do
  local uid, record, payload, flags = unpack(ARGV, i, i + 3)
  local job = P .. 'job:' .. uid
  local new = call('EXISTS', job) == 0
  if not new then
    local known = call('HGET', job, 'f') or ''
    if flags:find('r') and not known:find('r') then
      call('HSET', job, 'f', known .. 'r')
    end
  else
    local arrival, sla, _, _, _, total, _, _, line, bucket = struct.unpack(SPEC, record)
    -- The total also by itself: long strings are slow to bring into Lua.
    if flags == '' then
      call('HSET', job, 's', record, 'p', payload, 'm', integer(total))
    else
      call('HSET', job, 's', record, 'p', payload, 'm', integer(total), 'f', flags)
    end
    if not flags:find('s') then join_line(uid, arrival, sla, total, line, bucket) end
  end
  answers[#answers + 1] = new and 1 or 0
end
for class, lines in pairs(lines_of) do open_lines(class, lines, arrivals_of[class]) end
for bucket, tasks in pairs(tasks_of) do call('HINCRBY', P .. 'backlog', bucket, integer(tasks)) end
return answers
