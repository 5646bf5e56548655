local keys, answers = {}, {}
for n, uid in ipairs(ARGV) do
  local job = P .. 'job:' .. uid
  local record, flags, next, back, dead = unpack(call('HMGET', job, 's', 'f', 'n', 'b', 'd'))
  answers[n] = record and 1 or 0
  if record then
    keys[#keys + 1] = job
    local s = (not next or #record < TOTAL_AT + 3 or count(next) < struct.unpack(TOTAL, record, TOTAL_AT)
      or count(back) > 0) and spec_of(record)
    if s and not (flags and flags:find('[cs]')) then
      withdraw(uid, s, count(next), count(back))
    end
    if count(back) > 0 then keys[#keys + 1] = P .. 'back:' .. uid end
    if count(dead) > 0 or call('EXISTS', P .. 'dead:' .. uid) == 1 then
      for _, index in ipairs(call('ZRANGE', P .. 'dead:' .. uid, 0, -1)) do
        call('ZREM', P .. 'dead', uid .. '/' .. index)
      end
      keys[#keys + 1] = P .. 'dead:' .. uid
    end
  end
end
if #keys > 0 then call('UNLINK', unpack(keys)) end
return answers
