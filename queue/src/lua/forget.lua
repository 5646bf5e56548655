local keys, answers = {}, {}
for n, uid in ipairs(ARGV) do
  local job = P .. 'job:' .. uid
  local total, flags, next, back, dead = unpack(call('HMGET', job, 'm', 'f', 'n', 'b', 'd'))
  answers[n] = total and 1 or 0
  if total then
    keys[#keys + 1] = job
    if (count(next) < tonumber(total) or count(back) > 0) and not (flags and flags:find('[cs]')) then
      local s = spec_of(call('HGET', job, 's'))
      if s then withdraw(uid, s, count(next), count(back)) end
    end
    if count(back) > 0 then keys[#keys + 1] = P .. 'back:' .. uid end
    -- A malformed job has a dead letter that it does not count.
    if count(dead) > 0 or not next then
      for _, index in ipairs(call('ZRANGE', P .. 'dead:' .. uid, 0, -1)) do
        call('ZREM', P .. 'dead', uid .. '/' .. index)
      end
      keys[#keys + 1] = P .. 'dead:' .. uid
    end
  end
end
if #keys > 0 then call('UNLINK', unpack(keys)) end
return answers
